"""A picture in tiles is the picture in one piece, and takes no more memory than it may."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.engine.base import stylize_steps
from app.engine.features import Memory, Spilled, feature_store, temporary_file
from app.engine.ncnn import NcnnEngine
from app.engine.tiles import Limits, columns
from tests.engine.engines import WHOLE, differences, engine, gradient_masks, job
from tests.engine.test_ncnn import decoder_file
from tests.pictures import photo

NARROW = Limits(tile_width=136, slab_rows=16, feature_memory=2**30)
SPILLED = Limits(tile_width=160, slab_rows=32, feature_memory=0)
UNEVEN = Limits(tile_width=165, slab_rows=42, feature_memory=0)


@given(width=st.integers(2, 3000), widest=st.integers(9, 400), margin=st.integers(0, 4))
def test_columns_keep_every_position_once_with_its_margin(width: int, widest: int, margin: int) -> None:
    kept = 0
    sizes = set()
    for column in columns(width, widest, margin):
        assert column.first == kept < column.last
        assert column.left == 0 or column.left <= column.first - margin
        assert column.right == width or column.right >= column.last + margin
        assert 0 <= column.left < column.right <= width
        sizes.add(column.right - column.left)
        kept = column.last
    assert kept == width
    assert len(sizes) == 1, "all columns have one size"
    assert max(sizes) <= widest


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 200),
    limits=st.sampled_from([NARROW, SPILLED, UNEVEN]),
    masked=st.booleans(),
)
def test_tiles_equal_the_untiled_run_at_any_size(height: int, width: int, limits: Limits, masked: bool) -> None:
    content = photo("astronaut")[30 : 30 + height, 90 : 90 + width]
    work = job(content)
    if masked:
        work = job(content, ("coffee", "rocket"), (1, 1), 0.8, gradient_masks(content))
    [tiled], [whole] = engine("ncnn", limits).stylize([work]), engine("ncnn", WHOLE).stylize([work])
    assert differences(tiled, whole).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (1, 240), (8, 9), (100, 170)])
@pytest.mark.parametrize("contrast", [0, 2])
def test_flat_pictures_survive_the_disk(size: tuple[int, int], contrast: int) -> None:
    # Channels that hardly vary are divided by a deviation close to nothing.
    texture = photo("chelsea")[: size[0], : size[1]] // 128
    work = job((np.array([176, 66, 27], np.uint8) + contrast * texture).astype(np.uint8))
    [tiled], [whole] = engine("ncnn", SPILLED).stylize([work]), engine("ncnn", WHOLE).stylize([work])
    assert differences(tiled, whole).max() <= 1


@pytest.mark.parametrize("limits", [NARROW, SPILLED])
def test_torch_in_tiles_equals_torch_in_one_piece(limits: Limits) -> None:
    content = photo("astronaut")[:75, :170]
    work = job(content, ("coffee", "rocket"), (1, 1), 1.0, gradient_masks(content))
    [tiled], [whole] = engine("torch", limits).stylize([work]), engine("torch", WHOLE).stylize([work])
    assert differences(tiled, whole).max() <= 1


@pytest.mark.parametrize("library", ["ncnn", "torch"])
def test_pictures_that_take_turns_at_steps_are_to_the_bit_what_each_is_alone(library: str) -> None:
    tiled = engine(library, SPILLED)
    works = [job(photo("astronaut")[:75, :170]), job(photo("chelsea")[:60, :50]), job(photo("coffee")[:100, :90])]
    alone = [tiled.stylize([work])[0] for work in works]
    runs = {number: stylize_steps(tiled, [work]) for number, work in enumerate(works)}
    results = {}
    while runs:
        for number, steps in list(runs.items()):
            try:
                next(steps)
            except StopIteration as end:
                (results[number],) = end.value
                del runs[number]
    assert all(np.array_equal(results[number], picture) for number, picture in enumerate(alone))


@pytest.mark.skipif(sys.platform != "linux", reason="counts open files where Linux lists them")
def test_a_picture_given_up_between_two_steps_leaves_no_file_behind() -> None:
    def files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    tiled = engine("ncnn", SPILLED)
    work = job(photo("astronaut")[:64, :64])
    count = sum(1 for _ in stylize_steps(tiled, [work]))
    before = files()
    for taken in range(0, count, 5):
        steps = stylize_steps(tiled, [work])
        for _ in range(taken):
            next(steps)
        assert files() > before or not taken
        steps.close()
        assert files() == before


@pytest.mark.parametrize("library", ["ncnn", "torch"])
@pytest.mark.parametrize("limits", [NARROW, UNEVEN])
def test_a_style_in_tiles_has_the_code_of_the_whole(library: str, limits: Limits) -> None:
    picture = photo("coffee")[:90, :170]
    tiled, whole = engine(library, limits).encode_style(picture), engine(library, WHOLE).encode_style(picture)
    # Between the decoder's layers there is half precision where features wait on the disk.
    exact, kept = 1e-5, 1e-5 if limits.feature_memory else 2e-4
    layers = [(exact, tiled.relu4_1, whole.relu4_1)]
    layers += [(kept, *pair) for pair in zip(tiled.decoded, whole.decoded, strict=True)]
    for close, one, other in layers:
        np.testing.assert_allclose(one.mean, other.mean, atol=close * other.mean.max())
        np.testing.assert_allclose(one.std, other.std, atol=close * other.std.max())


def test_margins_follow_the_decoder_loaded(tmp_path: Path) -> None:
    widths = [(512, 12), *[(12, 12)] * 6, (12, 3)]
    path = decoder_file(tmp_path / "decoder.safetensors", widths, "4,5,6")
    work = job(photo("chelsea", 200))
    [tiled], [whole] = (NcnnEngine(decoder=path, limits=limits).stylize([work]) for limits in (UNEVEN, WHOLE))
    assert whole.std() > 5
    assert differences(tiled, whole).max() <= 1


def test_features_wait_on_disk_only_where_memory_is_too_small() -> None:
    assert isinstance(feature_store(512, 10, 20, memory=10 * 20 * 512 * 4), Memory)
    assert isinstance(feature_store(512, 10, 20, memory=10 * 20 * 512 * 4 - 1), Spilled)


def test_features_on_disk_come_back_to_eleven_bits_of_their_spread() -> None:
    features = np.random.default_rng(0).gamma(1, 8, (512, 13, 17)).astype(np.float32)
    store = Spilled(512, 17, temporary_file())
    store.put(0, 0, features[:, :, :9])
    store.put(0, 9, features[:, :6, 9:])
    store.put(6, 9, features[:, 6:, 9:])
    spread = np.abs(features - features[:, :1, :1]).max()
    np.testing.assert_allclose(
        store.get(slice(2, 12), slice(5, 15)), features[:, 2:12, 5:15], rtol=0, atol=2**-11 * spread
    )
    store.close()


MEASURED_RUN = """
import sys
import numpy as np
from app.engine.create import create_engine
from app.engine.base import Job
from app.engine.tiles import Limits
from app.network.blend import shares
from tests.pictures import photo

engine = create_engine("ncnn", "cpu", limits=Limits(feature_memory=0))
code = engine.encode_style(photo("coffee", 128))
content = np.tile(photo("astronaut"), (5, 3, 1))[:, :1500]
[result] = engine.stylize([Job(content, (code,), shares([1.0]))])
assert result.shape == content.shape and result.std() > 20
assert "torch" not in sys.modules
[peak] = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(int(peak.split()[1]) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of resident memory where Linux tells it")
def test_four_megapixels_take_less_than_1000_megabytes() -> None:
    run = subprocess.run([sys.executable, "-c", MEASURED_RUN], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 1000
