"""What batches are drawn from."""

import pytest
import torch
from torch import Generator, Tensor

from app.evaluation.metrics import statistics
from app.training.data.pool import (
    BLENDS,
    CONTENTS_AS_STYLES,
    LEAST_STRENGTH,
    PAIRED,
    WEAKENED,
    Batch,
    Encoded,
    Pool,
    Table,
    _some,
    paired,
)

SIZE = 16


def _encoded(value: float, device: torch.device) -> Encoded:
    """Two contents of features `value`, and two styles of the same below 0."""
    signs = torch.tensor([1.0, 1.0, -1.0, -1.0], device=device) * value
    features = signs[:, None, None, None].expand(4, 512, 2, 2)
    channels = signs[:, None, None].expand(4, 2, 512)
    return Encoded(signs.abs()[:, None, None, None].expand(4, 3, SIZE, SIZE) / 10, [features], channels)


def _filled(values: list[float], device: torch.device, originals: bool = False) -> Pool:
    pool = Pool(4, 2, SIZE, 512, originals, device)
    for value in values:
        pool.add(_encoded(value, device), _moved(pool.place(), device))
    return pool


def _moved(table: Table, device: torch.device) -> Table:
    return {name: tensor.to(device) for name, tensor in table.items()}


def _decoded(features: Tensor) -> Tensor:
    return 10 * features.mean((2, 3))[:, None, :7].expand(-1, 2, -1)


def _batch(pool: Pool, count: int, own: int, seed: int, device: torch.device) -> Batch:
    table = pool.choose(count, own, Generator().manual_seed(seed))
    return pool.batch(_moved(table, device), own, _decoded)


def test_it_forgets_the_oldest_and_gives_the_newest_their_own_style(device: torch.device) -> None:
    pool = _filled([1.0, 2.0, 3.0], device)
    batch = _batch(pool, 5, 1, 0, device)
    assert batch.features.shape == (5, 512, 2, 2)
    assert batch.wanted.shape == (5, 2, 7 + 512)
    assert float(batch.wanted[0, :, 7:].min()) == float(batch.features[0].max()) == 3.0
    torch.testing.assert_close(batch.wanted[:, 0, 0], 10 * batch.wanted[:, 0, 7], msg="both of one picture")
    assert set(batch.features[:, 0, 0, 0].tolist()) == {2.0, 3.0}
    assert torch.equal(batch.wanted, _batch(pool, 5, 1, 0, device).wanted)


def test_styles_are_as_often_contents_pairs_blends_and_weak_ones_as_they_are_to_be() -> None:
    """Statistics of contents are above 0 here and those of styles below, so whole ones tell where they are from."""
    cpu = torch.device("cpu")
    pool = _filled([2.0, 2.0], cpu)
    found = torch.cat([_batch(pool, 12, 0, seed, cpu).wanted[:, :, 7] for seed in range(200)])
    mean, deviation = found.unbind(1)
    whole = mean.abs() == 2
    plain = (1 - PAIRED * 2 * CONTENTS_AS_STYLES * (1 - CONTENTS_AS_STYLES)) * (
        1 - BLENDS * 2 * CONTENTS_AS_STYLES * (1 - CONTENTS_AS_STYLES)
    )
    assert float(whole.float().mean()) == pytest.approx(plain * (1 - WEAKENED * 0.75), abs=0.05)
    of_contents = float((mean[whole] > 0).float().mean())
    assert of_contents == pytest.approx(CONTENTS_AS_STYLES, abs=0.06)
    # Only a picture of two halves deviates by more than either.
    assert 0.05 < float((deviation.abs() > 2.01).float().mean()) < PAIRED


def test_as_many_of_a_batch_are_picked_as_is_likely_and_all_places_alike() -> None:
    for part, count in ((0.25, 9), (0.15, 12), (0.25, 1), (0.5, 4)):
        taken = torch.zeros(count)
        numbers = []
        for seed in range(500):
            places, share = _some(part, count, Generator().manual_seed(seed))
            assert len(set(places.tolist())) == len(places)
            assert float(share.min()) >= 0
            taken[places[share > 0]] += 1
            numbers.append(int((share > 0).sum()))
        torch.testing.assert_close(taken / 500, torch.full((count,), part), rtol=0, atol=0.09)
        assert max(numbers) <= part * count + 1


def test_a_batch_of_one_and_one_of_only_its_own_are_possible(device: torch.device) -> None:
    pool = _filled([1.0], device)
    assert _batch(pool, 1, 0, 0, device).wanted.shape == (1, 2, 519)
    assert float(_batch(pool, 2, 2, 0, device).wanted[:, :, 7:].min()) == 1.0
    many = _batch(pool, 7, 1, 0, device)
    assert many.features.shape[0] == 7, "more than there are"


def test_at_less_strength_a_style_is_nearer_to_the_contents_own() -> None:
    cpu = torch.device("cpu")
    pool = _filled([2.0, 2.0], cpu)
    table = pool.choose(8, 0, Generator().manual_seed(0))
    table["strength"] = torch.full_like(table["strength"], LEAST_STRENGTH)
    before = dict(table) | {"strength": torch.ones_like(table["strength"])}
    weak, strong = (pool.batch(t, 0, _decoded).wanted for t in (table, before))
    at = table["weakened_at"]
    torch.testing.assert_close(weak[at][..., 7:], LEAST_STRENGTH * strong[at][..., 7:] + (1 - LEAST_STRENGTH) * 2.0)
    others = torch.ones(8, dtype=torch.bool).index_fill(0, at, False)
    assert torch.equal(weak[others], strong[others])


def test_paired_styles_have_the_statistics_of_one_picture_of_both() -> None:
    random = Generator().manual_seed(0)
    one = torch.rand(1, 5, 8, 12, generator=random) * 3
    other = torch.rand(1, 5, 8, 4, generator=random) + 1
    whole = statistics([torch.cat([one, other], 3)])
    share = torch.tensor(0.25).view(1, 1, 1)
    assert torch.allclose(paired(statistics([one]), statistics([other]), share), whole, atol=1e-5)


def test_originals_pair_features_with_their_pictures(device: torch.device) -> None:
    pool = _filled([1.0, 2.0, 3.0], device, originals=True)
    pairs = pool.pairs(_moved(pool.choose_pairs(8, Generator().manual_seed(0)), device))
    couples = zip(pairs.features, pairs.wanted, strict=True)
    found = sorted((round(float(f.mean()), 1), round(float(p.mean()), 1)) for f, p in couples)
    assert found == sorted([(2.0, 0.2), (-2.0, 0.2), (3.0, 0.3), (-3.0, 0.3)] * 2)
