"""Where image files lie: a directory or a zip archive, read through one small interface."""

import io
import os
import warnings
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._extras import needed
from ..errors import DataError
from ._source import check_unpacked, reading

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
_OTHERS = (".gif", ".jfif", ".avif", ".heic", ".jp2", ".ppm", ".pgm", ".tga")
# No others: fewer parsers are exposed to untrusted bytes.
_DECODERS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF")
_GREY, _COLOUR, _PALETTE = ("1", "L", "LA"), ("RGB", "RGBA", "CMYK", "YCbCr"), ("P", "PA")


@dataclass(frozen=True)
class ImageFiles:
    """Image files below one root.

    Attributes:
        root: The directory or the archive.
        names: Paths below the root, with ``/``, sorted; files of other kinds are left out.
        read: Maps a name to the bytes of the file.
    """

    root: Path
    names: tuple[str, ...]
    read: Callable[[str], bytes]

    def pixels(self, name: str) -> np.ndarray:
        """Decode one image to uint8 of shape ``(C, H, W)``, one channel if grey, else three.

        An alpha channel is dropped, an animation's first picture taken, and no EXIF rotation applied, as
        in torchvision.

        Raises:
            DataError: If the file is unreadable, has more than eight bits per channel, or is a TIFF file of
                several pages.
        """
        needed("An image file", "PIL")
        from PIL import Image, UnidentifiedImageError

        called = f"the image {name} in {self.root}"
        with reading(called, "Replace or remove it."):
            try:
                image = Image.open(io.BytesIO(self.read(name)), formats=_DECODERS)
            except UnidentifiedImageError:
                raise DataError(
                    f"Cannot read {called}: it is none of {', '.join(_DECODERS)}, whatever its name says, "
                    "or is cut off. Convert or remove it."
                ) from None
            with image:
                _check_form(image, f"T{called[1:]}")
                if image.mode in _GREY:
                    return np.asarray(image.convert("L"))[None]
                if image.mode in _PALETTE:  # by way of RGBA: a transparent palette would warn
                    return np.asarray(image.convert("RGBA").convert("RGB")).transpose(2, 0, 1)
                return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


def _check_form(image: Any, called: str) -> None:
    """Raise DataError unless this is one image, grey or coloured, of eight bits per channel."""
    if image.format == "TIFF" and image.n_frames > 1:
        raise DataError(f"{called} has {image.n_frames} pages. Store each in a file of its own.")
    # Of colours with sixteen bits Pillow keeps the upper eight, and says that only here.
    deep = any(";16" in str(tile[3]) for tile in image.tile)
    if deep or image.mode not in _GREY + _COLOUR + _PALETTE:
        form = f"Pillow's mode {image.mode!r}" + (", of 16 bits per channel" if deep else "")
        raise DataError(
            f"{called} has {form}, which does not fit 8-bit grey or RGB. Convert it, or store the data as "
            ".npz with float32 pixels."
        )


def open_image_files(root: Path) -> ImageFiles:
    """List the image files in a directory or zip archive, without decoding any.

    Raises:
        DataError: If the archive is unreadable, or has a member with an unsafe path.

    Warns:
        UserWarning: Images of other kinds, which are left out.
    """
    names, read = _in_archive(root) if root.is_file() else _in_directory(root)
    names = sorted(names)
    if others := [name for name in names if _is_image(name, _OTHERS)]:
        warnings.warn(
            f"{root} has images of kinds that are not read and left out: {len(others)} of them, such as "
            f"{others[0]}. Convert them to one of {', '.join(SUFFIXES)}.",
            stacklevel=2,
        )
    return ImageFiles(root, tuple(filter(_is_image, names)), read)


def has_image_files(root: Path) -> bool:
    """Tell whether a directory holds an image somewhere; stops at the first one found."""
    return any(_is_image(file) for _, _, files in os.walk(root) for file in files)


def _in_directory(root: Path) -> tuple[Iterable[str], Callable[[str], bytes]]:
    # Strings, not Path: with 60,000 files the difference is seconds.
    paths = (os.path.join(at, file) for at, _, files in os.walk(root) for file in files)
    names = (os.path.relpath(path, root).replace(os.sep, "/") for path in paths)
    return names, lambda name: (root / name).read_bytes()


def _in_archive(root: Path) -> tuple[Iterable[str], Callable[[str], bytes]]:
    with reading(f"{root} as a zip archive", "Get it again."):
        archive = zipfile.ZipFile(root)
    # Refused is what a careless unpacking would write elsewhere: whoever made it is not trusted.
    # infolist and orig_filename: ZipFile itself turns a backslash or a NUL into something tamer.
    for name in (member.orig_filename for member in archive.infolist()):
        drive = len(name) > 1 and name[1] == ":"
        if name.startswith("/") or "\\" in name or drive or ".." in name.split("/"):
            raise DataError(
                f"{root} has a member with the unsafe path {name!r} (absolute, with a backslash, or "
                f"with '..'). Build the archive again from within its directory."
            )
    check_unpacked(root, root.stat().st_size, sum(m.file_size for m in archive.infolist()))
    return archive.namelist(), archive.read


def _is_image(name: str, suffixes: tuple[str, ...] = SUFFIXES) -> bool:
    # Hidden files and __MACOSX folders hold metadata under image names.
    hidden = any(part.startswith((".", "__MACOSX")) for part in name.split("/"))
    return name.lower().endswith(suffixes) and not hidden
