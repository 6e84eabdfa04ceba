"""Numbers of any colour space to sRGB, by the embedded ICC profile where there is a usable one."""

from io import BytesIO
from typing import Final

from PIL import Image, ImageCms

# The spaces a profile may be of, and the Pillow mode whose numbers it explains.
MODES: Final = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK", "LAB": "LAB"}
Profile = ImageCms.ImageCmsProfile


def to_srgb(image: Image.Image, embedded: bytes | None) -> Image.Image:
    """A picture of mode L, RGB, CMYK or LAB as RGB in sRGB. A profile that is broken or of another space is ignored."""
    profile = usable(image, embedded)
    if profile is None and image.mode == "LAB":
        profile = Profile(ImageCms.createProfile("LAB"))
    if profile is not None:
        try:
            converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, ValueError, OSError):
            converted = None
        if converted is not None:
            return converted
    return image.convert("RGB")


def usable(image: Image.Image, embedded: bytes | None) -> Profile | None:
    if not embedded:
        return None
    try:
        profile = Profile(BytesIO(embedded))
        mode = MODES.get(profile.profile.xcolor_space.strip())
    except (ImageCms.PyCMSError, ValueError, OSError, TypeError):
        return None
    if mode != image.mode:
        return None
    return profile
