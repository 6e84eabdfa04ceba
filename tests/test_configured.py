"""The settings reach what they are about."""

import pytest

from app.configured import configured_engine, picture_limits
from app.engine import features
from app.network.blend import FloatArray
from app.network.layout import FEATURES
from app.settings import Settings
from tests.engine.engines import differences, engine, job
from tests.pictures import photo


def test_settings_bound_the_memory_of_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    spilled: list[int] = []

    class Watched(features.Spilled):
        def put(self, row: int, column: int, features: FloatArray) -> None:
            if len(features) == FEATURES:
                spilled.append(features.shape[2])
            super().put(row, column, features)

    monkeypatch.setattr(features, "Spilled", Watched)
    settings = Settings(tile_size=256, feature_memory_bytes=0, engine="ncnn")
    work = job(photo("astronaut")[:100, :400])
    [result] = configured_engine(settings).stylize([work])
    assert 0 < max(spilled) < 256 // 8, "tiles of 256 pixels, their margins left out"
    [whole] = engine("ncnn").stylize([work])
    assert differences(result, whole).max() <= 1


def test_settings_bound_pictures() -> None:
    limits = picture_limits(Settings(max_pixels=5, max_size=7, default_size=6))
    assert (limits.max_pixels, limits.max_size, limits.default_size) == (5, 7, 6)
