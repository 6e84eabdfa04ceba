"""What schemathesis does not know of the service: what pictures and videos are, so that its forms hold real ones."""

import random
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.transport.serialization import Binary

from tools.fuzz import seeds

PICTURES = tuple(seeds.images())
FILES = (*PICTURES, *seeds.videos())


def damaged(file: bytes) -> st.SearchStrategy[bytes]:
    """A file that is cut short, or has a few bytes changed."""
    places = st.integers(0, len(file) - 1)
    changed = st.tuples(places, st.binary(min_size=1, max_size=4)).map(
        lambda change: file[: change[0]] + change[1] + file[change[0] + len(change[1]) :]
    )
    return places.map(lambda end: file[:end]) | changed


whole = st.sampled_from(FILES)
schemathesis.openapi.format("binary", whole | whole | whole | whole.flatmap(damaged) | st.binary(max_size=200))


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    """Every other form is one that holds together, as far as a document can't say it: pictures, one weight a style."""
    if not isinstance(body, dict) or "content" not in body:
        return body
    chance = random.Random(repr(sorted(body.items(), key=str)))
    if chance.random() < 0.5:
        return body
    pictures = [Binary(file) for file in chance.choices(PICTURES, k=5)]
    styles = pictures[: chance.randint(1, 2)]
    per_style = {
        "mask": lambda: pictures[2 : 2 + len(styles)],
        "weight": lambda: [chance.uniform(0.1, 9) for _ in styles],
    }
    fit = {name: make() for name, make in per_style.items() if name in body}
    kept = {name: value for name, value in body.items() if name not in ("style_id", "callback", "keyframes")}
    content = [Binary(chance.choice(FILES))] if isinstance(body["content"], list) else pictures[4]
    return {**kept, **fit, "content": content, "style": styles}
