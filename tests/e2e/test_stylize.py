"""What a web developer gets from POST /stylize: real photos in, stylised photos out, over HTTP."""

import io
import re
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from PIL import Image

from app.engine.base import Job
from app.engine.create import create_engine
from app.network.blend import shares
from tests.e2e.server import Server
from tests.pictures import heic, jpeg, photo, png

CONTENT = png(photo("astronaut", 160))
STYLE = png(photo("coffee", 160))
OTHER = png(photo("rocket", 160))


def stylize(client: httpx.Client, *files: tuple[str, bytes], headers: dict[str, str] | None = None, **fields: object):
    """Send a form; `files` are (field, bytes), in order."""
    return client.post(
        "/stylize",
        files=[(field, ("picture", data)) for field, data in files],
        data={name: value if isinstance(value, list) else str(value) for name, value in fields.items()},
        headers=headers,
    )


def pixels(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB")).astype(int)


def result(client: httpx.Client, *files: tuple[str, bytes], **fields: object) -> np.ndarray:
    return pixels(stylize(client, *(files or (("content", CONTENT), ("style", STYLE))), **{"format": "png", **fields}))


def test_a_png_is_pixel_for_pixel_what_the_network_gives(client: httpx.Client) -> None:
    engine = create_engine()
    job = Job(photo("astronaut", 160), (engine.encode_style(photo("coffee", 160)),), shares([1.0], 0.7))
    (expected,) = engine.stylize([job])
    assert np.array_equal(result(client, strength=0.7), expected)


def test_the_answer_tells_its_id_timings_batch_and_style(client: httpx.Client) -> None:
    answer = stylize(client, ("content", CONTENT), ("style", STYLE), headers={"X-Request-Id": "order-12"})
    assert answer.headers["X-Request-Id"] == "order-12"
    assert int(answer.headers["X-Batch-Size"]) >= 1
    stages = dict(entry.split(";dur=") for entry in answer.headers["Server-Timing"].split(", "))
    assert list(stages) == ["decode", "queue", "network", "encode"]
    assert float(stages["network"]) > 0
    style = client.get(f"/styles/{answer.headers['X-Style-Id']}")
    name = answer.headers["X-Style-Id"]
    assert style.json() == {"id": name, "known": ["memory"], "sizes": [512], "any_size": True}
    assert client.delete(f"/styles/{name}").status_code == 204
    assert client.get(f"/styles/{name}").status_code == 404


@pytest.mark.parametrize("insane", ["", "a b", "x" * 129, "é", "a;b"])
def test_an_insane_request_id_is_replaced(client: httpx.Client, insane: str) -> None:
    answer = client.get("/healthz", headers={"X-Request-Id": insane.encode("latin-1")})
    assert answer.headers["X-Request-Id"] not in ("", insane)


def test_a_remembered_style_gives_the_same_picture_without_sending_it_again(client: httpx.Client) -> None:
    first = stylize(client, ("content", CONTENT), ("style", STYLE), format="png")
    again = stylize(client, ("content", CONTENT), style_id=first.headers["X-Style-Id"], format="png")
    assert again.content == first.content
    assert "X-Style-Id" not in again.headers


def test_a_remembered_style_can_be_asked_for_at_another_size_and_recoloured(client: httpx.Client) -> None:
    known = stylize(client, ("content", CONTENT), ("style", STYLE)).headers["X-Style-Id"]
    for fields in ({"style_size": 64}, {"preserve_color": "match"}):
        by_id = result(client, ("content", CONTENT), style_id=known, **fields)
        assert np.array_equal(by_id, result(client, **fields))


def test_only_what_is_remembered_is_given_an_id() -> None:
    files = (("content", CONTENT), ("style", STYLE))
    # Room for a style's code, not for its picture; a recoloured style has no code of its own to remember.
    with Server({"style_cache_bytes": len(STYLE) // 2}) as server:
        recoloured = stylize(server.client, *files, preserve_color="match")
        assert (recoloured.status_code, "X-Style-Id" in recoloured.headers) == (200, False)
        plain = stylize(server.client, *files, style_size=48)
        known = server.client.get(f"/styles/{plain.headers['X-Style-Id']}").json()
        assert (known["sizes"], known["any_size"]) == ([48], False)


def test_a_blend_follows_its_weights_and_mixes_uploads_with_ids(client: httpx.Client) -> None:
    known = stylize(client, ("content", CONTENT), ("style", OTHER)).headers["X-Style-Id"]
    both = [("content", CONTENT), ("style", STYLE), ("style", OTHER)]
    blend = result(client, *both, weight=["3", "1"])
    assert np.array_equal(blend, result(client, *both, weight="3,1"))
    assert np.array_equal(blend, result(client, *both[:2], style_id=known, weight=["0.75", "0.25"]))
    assert np.array_equal(result(client, *both, weight=["5", "0"]), result(client))
    assert np.array_equal(result(client, *both), result(client, *both, weight=["1", "1"]))
    assert not np.array_equal(blend, result(client, *both))


def test_strength_leads_from_the_reconstructed_photo_to_the_full_style(client: httpx.Client) -> None:
    full = result(client)
    left = [np.abs(full - result(client, strength=strength)).mean() for strength in (0, 0.3, 0.7, 1)]
    assert left == sorted(left, reverse=True)
    assert left[0] > 10
    assert left[-1] == 0


def test_a_smaller_style_size_gives_another_picture(client: httpx.Client) -> None:
    assert not np.array_equal(result(client), result(client, style_size=48))


def test_masks_keep_each_style_to_its_side(client: httpx.Client) -> None:
    left = np.zeros((40, 40), np.uint8)
    left[:, :20] = 255
    files = [("content", CONTENT), ("style", STYLE), ("style", OTHER)]
    files += [("mask", png(left)), ("mask", png(255 - left))]
    mixed = result(client, *files)
    # 30 pixels, the decoder's reach, either side of the border see both styles. Inside the decoder a style meets the
    # statistics of its own side, not of the whole picture, so a side is not quite as the whole picture would be.
    alone = [result(client), result(client, ("content", CONTENT), ("style", OTHER))]
    for own, other, side in ((*alone, np.s_[:, :48]), (*alone[::-1], np.s_[:, 112:])):
        off, apart = (np.abs(mixed[side].astype(int) - one[side]).mean() for one in (own, other))
        assert off < apart / 4, (off, apart)


def test_what_no_mask_covers_stays_the_photo_as_the_decoder_reconstructs_it(client: httpx.Client) -> None:
    black = png(np.zeros((10, 10), np.uint8))
    masked = result(client, ("content", CONTENT), ("style", STYLE), ("mask", black))
    assert np.array_equal(masked, result(client, strength=0))


def test_luminance_keeps_the_photos_colours(client: httpx.Client) -> None:
    def chroma(rgb: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(rgb.astype(np.uint8)).convert("YCbCr")).astype(int)[..., 1:]

    content = photo("astronaut", 160)
    kept = np.abs(chroma(result(client, preserve_color="luminance")) - chroma(content)).mean()
    plain = np.abs(chroma(result(client)) - chroma(content)).mean()
    assert kept < plain / 2


def test_match_gives_the_style_the_photos_colours(client: httpx.Client) -> None:
    content = photo("astronaut", 160).astype(float).mean(axis=(0, 1))
    matched = result(client, preserve_color="match").mean(axis=(0, 1))
    plain = result(client).mean(axis=(0, 1))
    assert np.abs(matched - content).sum() < np.abs(plain - content).sum()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 16), (7, 9), (16, 16), (33, 121), (130, 8)])
def test_any_size_comes_back_at_exactly_its_size(client: httpx.Client, height: int, width: int) -> None:
    small = png(photo("astronaut", 160)[:height, :width])
    assert result(client, ("content", small), ("style", STYLE)).shape == (height, width, 3)


def test_size_sets_the_long_side_and_0_keeps_the_photos_own(client: httpx.Client) -> None:
    wide = png(photo("coffee", 160)[:80])
    files = (("content", wide), ("style", STYLE))
    assert result(client, *files, size=100).shape == (50, 100, 3)
    assert result(client, *files, size=200).shape == (100, 200, 3)
    assert result(client, *files, size=0).shape == (80, 160, 3)


def test_a_large_photo_is_reduced_unless_its_own_size_is_asked_for() -> None:
    large = jpeg(photo("astronaut", 300))
    with Server({"default_size": 128, "max_size": 256}) as server:
        files = (("content", large), ("style", STYLE))
        assert max(result(server.client, *files).shape) == 128
        refused = stylize(server.client, *files, size=0)
        assert refused.status_code == 422
        (error,) = refused.json()["errors"]
        assert (error["field"], error["limit"]) == ("size", 256)


@pytest.mark.parametrize(
    ("fields", "accept", "expected"),
    [
        ({}, "*/*", "image/png"),
        ({}, "image/avif,image/webp,image/*;q=0.8,*/*;q=0.5", "image/webp"),
        ({}, "image/webp;q=0.1, image/jpeg", "image/jpeg"),
        ({}, "text/html", "image/png"),
        ({"format": "jpeg"}, "image/webp", "image/jpeg"),
    ],
)
def test_the_format_is_the_one_asked_for(
    client: httpx.Client, fields: dict[str, str], accept: str, expected: str
) -> None:
    answer = stylize(client, ("content", CONTENT), ("style", STYLE), headers={"Accept": accept}, **fields)
    assert answer.headers["Content-Type"] == expected
    assert Image.open(io.BytesIO(answer.content)).get_format_mimetype() == expected


def test_quality_sets_the_size_of_the_file(client: httpx.Client) -> None:
    files = (("content", CONTENT), ("style", STYLE))
    sizes = [len(stylize(client, *files, format="jpeg", quality=q).content) for q in (10, 50, 95)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1] / 2


def test_transparency_is_kept_in_png_and_laid_on_white_in_jpeg(client: httpx.Client) -> None:
    rgba = np.dstack([photo("astronaut", 160), np.full((160, 160), 255, np.uint8)])
    rgba[:50, :50, 3] = 0
    files = (("content", png(rgba)), ("style", STYLE))
    kept = Image.open(io.BytesIO(stylize(client, *files, format="png").content))
    assert np.array_equal(np.asarray(kept)[..., 3], rgba[..., 3])
    flat = pixels(stylize(client, *files, format="jpeg", quality=95))
    assert flat[:40, :40].min() >= 250


def test_what_is_transparent_counts_for_nothing_in_a_photo_and_in_a_style(client: httpx.Client) -> None:
    def canvas(name: str) -> bytes:
        rgba = np.zeros((300, 280, 4), np.uint8)
        rgba[60:220, 41:201] = np.dstack([photo(name, 160), np.full((160, 160), 255, np.uint8)])
        return png(rgba)

    plain = result(client)
    assert np.array_equal(result(client, ("content", CONTENT), ("style", canvas("coffee"))), plain)
    answer = stylize(client, ("content", canvas("astronaut")), ("style", STYLE), format="png")
    rgba = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert rgba.shape == (300, 280, 4)
    assert np.array_equal(rgba[60:220, 41:201, :3], plain)
    assert rgba[..., 3].sum() == 160 * 160 * 255


def test_a_round_cut_out_is_painted_more_like_what_it_was_cut_from_than_on_white(client: httpx.Client) -> None:
    down, across = np.mgrid[-1:1:160j, -1:1:160j]
    disc = np.hypot(down, across) < 0.8
    whole = result(client)

    def cut(name: str) -> tuple[bytes, bytes]:
        rgba = np.dstack([photo(name, 160), disc * np.uint8(255)])
        return png(rgba), png(np.where(disc[..., None], rgba[..., :3], np.uint8(255)))

    contents = [(("content", file), ("style", STYLE)) for file in cut("astronaut")]
    styles = [(("content", CONTENT), ("style", file)) for file in cut("coffee")]
    for transparent, white in (contents, styles):
        off, apart = (np.abs(result(client, *files) - whole)[disc].mean() for files in (transparent, white))
        assert off < apart / 2, (off, apart)


def test_a_phones_photo_is_painted_upright_and_comes_back_as_jpeg(client: httpx.Client) -> None:
    lying = Image.Exif()
    lying[0x0112] = 6
    phone = heic(photo("astronaut", 160)[:96], lying.tobytes())
    answer = stylize(client, ("content", phone), ("style", heic(photo("coffee", 160))))
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert pixels(answer).shape == (160, 96, 3)
    upright = png(np.rot90(photo("astronaut", 160)[:96], -1))
    expected = result(client, ("content", upright), ("style", STYLE))
    assert (
        np.abs(pixels(answer) - expected).mean()
        < np.abs(pixels(answer) - np.asarray(Image.open(io.BytesIO(upright)), int)).mean() / 2
    )


def test_a_page_of_a_configured_origin_may_call_and_read_the_headers(client: httpx.Client) -> None:
    origin = {"Origin": "https://gallery.example"}
    answer = stylize(client, ("content", CONTENT), ("style", STYLE), headers=origin)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://gallery.example"
    assert "X-Style-Id" in answer.headers["Access-Control-Expose-Headers"]
    wrong = client.post("/stylize", headers=origin)
    assert wrong.headers["Access-Control-Allow-Origin"] == "https://gallery.example"
    stranger = stylize(client, ("content", CONTENT), ("style", STYLE), headers={"Origin": "https://other.example"})
    assert "Access-Control-Allow-Origin" not in stranger.headers


def test_concurrent_requests_share_batches_and_get_what_they_get_alone(server: Server) -> None:
    asked = [(style, strength) for style in (STYLE, OTHER) for strength in (0.2, 0.6, 1.0)]

    def one(style: bytes, strength: float) -> httpx.Response:
        with httpx.Client(base_url=server.url, timeout=120) as client:
            return stylize(client, ("content", CONTENT), ("style", style), strength=strength, format="png")

    alone = [one(*each) for each in asked]
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda each: one(*each), asked * 2))
    assert max(int(answer.headers["X-Batch-Size"]) for answer in together) > 1
    for first, answer in zip(alone * 2, together, strict=True):
        assert np.abs(pixels(answer) - pixels(first)).max() <= 1


def test_the_docs_show_every_field_with_an_example_and_every_error(client: httpx.Client) -> None:
    operation = client.get("/openapi.json").json()["paths"]["/stylize"]["post"]
    fields = operation["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    expected = {"content", "style", "style_id", "weight", "strength", "size", "style_size", "preserve_color", "mask"}
    assert set(fields) == expected | {"format", "quality"}
    for field in fields.values():
        assert field["description"]
        assert "example" in field or field.get("format") == "binary" or field["items"]["format"] == "binary"
    examples = [
        example["value"]
        for status, answer in operation["responses"].items()
        if int(status) >= 400
        for example in answer["content"]["application/problem+json"]["examples"].values()
    ]
    assert {"/problems/unreadable-image", "/problems/queue-full"} <= {example["type"] for example in examples}
    for example in examples:
        assert client.get(example["type"]).json()["title"] == example["title"]


def test_the_docs_need_nothing_from_elsewhere(client: httpx.Client) -> None:
    page = client.get("/docs").text
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(addresses) >= 3
    for address in addresses:
        assert client.get(address).status_code == 200, address
