"""From a form's parts to what is asked for: every fault found goes into one answer."""

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from pydantic import ValidationError

from app.http.forms import MAX_TEXT_BYTES, File, Form
from app.http.problems import INVALID_REQUEST, Problem
from app.options import MAX_STYLES, Options
from app.pipeline import StyleSource
from app.styles.library import StyleLibrary, style_id

FILE_FIELDS: Final = ("content", "style", "mask")
OPTION_FIELDS: Final = tuple(Options.model_fields)
LIST_FIELDS: Final = ("weight", "style_id")
KNOWN_FIELDS: Final = (*FILE_FIELDS, *OPTION_FIELDS, "style_id")
# What HTML adds to a form of its own accord: its button, and the page's encoding.
IGNORED_FIELDS: Final = ("submit", "submit.x", "submit.y", "_charset_")
# In pydantic's errors: the names of a limit that was broken, and the types where no number was found to hold to it.
LIMITS: Final = ("le", "ge", "gt", "expected", "max_length")
NO_NUMBER: Final = ("finite_number", "float_parsing", "int_parsing", "int_from_float", "int_parsing_size")


@dataclass(frozen=True)
class Asked:
    """A request that holds together: its files, its styles in order (uploads, then ids), and its options."""

    contents: tuple[File, ...]
    styles: tuple[StyleSource, ...]
    masks: tuple[File, ...]
    options: Options

    @property
    def content(self) -> File:
        """The photo, where one is asked for."""
        return self.contents[0]


class Faults:
    """What is wrong with a request, field by field."""

    def __init__(self) -> None:
        self.errors: list[dict[str, Any]] = []

    def add(self, field: str, detail: str, limit: object = None) -> None:
        error: dict[str, Any] = {"field": field, "detail": detail}
        if limit is not None:
            error["limit"] = limit
        self.errors.append(error)

    def problem(self) -> Problem:
        fields = ", ".join(dict.fromkeys(error["field"] for error in self.errors))
        return Problem(INVALID_REQUEST, f"wrong or missing: {fields}", errors=self.errors)


def invalid_field(field: str, detail: str, limit: object = None) -> Problem:
    """A request with one fault."""
    faults = Faults()
    faults.add(field, detail, limit)
    return faults.problem()


def read_fields(
    form: Form,
    library: StyleLibrary,
    *,
    max_size: int,
    max_style_size: int,
    max_contents: int = 1,
    others: Sequence[str] = (),
) -> Asked:
    """Check all fields together; `others` are texts that may come beside those told of here.

    Raises Problem `invalid-request` with every fault there is. Hashes the uploaded styles: for a thread pool.
    """
    faults = Faults()
    _check_names(form, (*KNOWN_FIELDS, *others), faults)
    files = {name: _files(form, name, faults) for name in FILE_FIELDS}
    found = len(files["content"])
    if not 1 <= found <= max_contents:
        wanted = "one photo is needed" if max_contents == 1 else f"one to {max_contents} photos are needed"
        faults.add("content", f"{wanted}, as a file; found {found}", max_contents)
    styles = _styles(form, files["style"], library, faults)
    options = _options(form, faults, {"size": max_size, "style_size": max_style_size})
    weights = _list(form, "weight")
    if styles and weights and len(weights) != len(styles):
        faults.add("weight", f"one per style, or none: {len(styles)} styles, {len(weights)} weights", len(styles))
    if styles and files["mask"] and len(files["mask"]) != len(styles):
        faults.add("mask", f"one per style, or none: {len(styles)} styles, {len(files['mask'])} masks", len(styles))
    if faults.errors or options is None:
        raise faults.problem()
    return Asked(tuple(files["content"]), styles, tuple(files["mask"]), options)


def _check_names(form: Form, known: Sequence[str], faults: Faults) -> None:
    for name in dict.fromkeys((*form.texts, *form.files)):
        if name in IGNORED_FIELDS:
            continue
        if name not in known:
            near = get_close_matches(name.lower(), known, 1)
            meant = f"did you mean {near[0]}? " if near else ""
            faults.add(name, f"no such field; {meant}there are {', '.join(known)}")
        elif name in form.files and name not in FILE_FIELDS:
            faults.add(name, "expected text, found a file")


def _files(form: Form, name: str, faults: Faults) -> list[File]:
    """The files of a field. What came without a file name is one too, unless it is plainly a text."""
    files = form.files.get(name, [])
    for file in files:
        if not file.named and (text := _text(file)):
            faults.add(name, f"expected a file, found {text[:50]!r} (with curl: -F {name}=@FILE, with the @)")
    return files


def _text(file: File) -> str | None:
    """How a file begins, where that is text; no picture does."""
    start = file.data.read(MAX_TEXT_BYTES)
    file.data.seek(0)
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return None
    return text if all(c.isprintable() or c.isspace() for c in text) else None


def _styles(form: Form, files: Sequence[File], library: StyleLibrary, faults: Faults) -> tuple[StyleSource, ...]:
    names = _list(form, "style_id")
    count = len(files) + len(names)
    if count == 0:
        faults.add("style", "one to eight pictures are needed, or a style_id", MAX_STYLES)
    elif count > MAX_STYLES:
        faults.add("style", f"at most {MAX_STYLES} styles and style_ids together; found {count}", MAX_STYLES)
    for name in names:
        if not library.knows(name):
            faults.add("style_id", f"the service does not remember {name[:64]!r}: upload the style's picture again")
    label = "style" if len(files) == 1 else "style[{}]"
    uploaded = [StyleSource(label.format(n), style_id(file.data), file.data) for n, file in enumerate(files)]
    return (*uploaded, *(StyleSource("style_id", name, None) for name in names))


def _list(form: Form, name: str) -> list[str]:
    """A field that may come several times, or once with commas, as some clients send lists."""
    return [item.strip() for text in form.texts.get(name, []) for item in text.split(",") if item.strip()]


def _most(option: str) -> float:
    """The largest number an option, or an item of it, may be."""
    schema = Options.model_json_schema()["properties"][option]
    most: float = schema.get("items", schema.get("anyOf", [schema])[0])["maximum"]
    return most


def _options(form: Form, faults: Faults, limits: dict[str, int]) -> Options | None:
    values: dict[str, object] = {}
    for name in OPTION_FIELDS:
        texts = _list(form, name) if name in LIST_FIELDS else [t for t in form.texts.get(name, []) if t]
        if len(texts) > 1 and name not in LIST_FIELDS:
            faults.add(name, f"given {len(texts)} times; once is expected", 1)
        elif texts:
            values[name] = texts if name in LIST_FIELDS else texts[0]
    try:
        return Options.model_validate(values, context=limits)
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            field = "".join(f"[{part}]" if isinstance(part, int) else str(part) for part in error["loc"])
            limit = next((v for k, v in error.get("ctx", {}).items() if k in LIMITS), None)
            if limit is None and error["type"] in NO_NUMBER:
                limit = limits.get(field, _most(str(error["loc"][0])))
            faults.add(field, f"{error['msg']}; found {str(error['input'])[:50]!r}", limit)
        return None
