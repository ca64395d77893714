"""What a file is, by its first bytes: people download error pages, pointers and halves, and name anything .pt."""

from __future__ import annotations

import pickletools
import zipfile
from pathlib import Path
from typing import IO

from .error import PriorError

_HEAD = 512
_LARGEST_HEADER = 100_000_000
_OPCODES = 200_000
# What torch's own files name for plain tensors; its restricted reader knows these, so they are not worth reporting.
_HARMLESS = ("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter", "collections OrderedDict")
_HARMLESS_MODULES = ("torch ", "torch.storage ", "torch._tensor ")

_FOREIGN = {
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "a gzip archive (unpack it first)",
    b"7z\xbc\xaf": "a 7-Zip archive (unpack it first)",
    b"Rar!": "a RAR archive (unpack it first)",
    b"\x93NUMPY": "a NumPy array",
    b"GGUF": "a GGUF file",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"%PDF": "a PDF document",
}


def kind_of(path: Path) -> str:
    """ "torch", "safetensors", "onnx", or in words what else it is.

    Raises PriorError for files that are no such thing in the end: missing, empty, cut off, a pointer, a web page.
    """
    head, size = _start(path)
    if size == 0:
        raise PriorError(f"{path} is empty (0 bytes): the download failed; get it anew")
    if head.startswith(b"version https://git-lfs"):
        raise PriorError(
            f"{path} is a Git LFS pointer, not the file itself; run `git lfs pull`, or download it from its page"
        )
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise PriorError(f"{path} is a web page, not a checkpoint: the link led to a login, warning or error page")
    if text.startswith((b"{", b"[")):
        raise PriorError(f"{path} is a text file (JSON), not a checkpoint")
    for start, words in _FOREIGN.items():
        if head.startswith(start):
            return words
    if head.startswith(b"PK\x03\x04"):
        return _zip_kind(path)
    if path.suffix.lower() == ".onnx":
        return "onnx"
    if _is_safetensors(head, size, path):
        return "safetensors"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "torch"
    if not any(head):
        raise PriorError(f"{path} begins with zeros: a download that was never completed; get it anew")
    return f"a file of an unknown kind (it begins with {head[:8]!r})"


def code_in(path: Path) -> list[str]:
    """Names that the pickle in `path` would import when read by Python, but for those that plain weights need.

    The pickle is listed, never run. Empty where there are none, or where the file is too damaged to say.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                inner = next((name for name in archive.namelist() if name.endswith("data.pkl")), None)
                if inner is None:
                    return []
                with archive.open(inner) as file:
                    return _globals(file)
        with path.open("rb") as file:
            found: list[str] = []
            for _ in range(8):  # a torch file of before 1.6 is several pickles in a row
                before = file.tell()
                found += _globals(file)
                if found or file.tell() == before:
                    break
            return found
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError):
        return []


def _start(path: Path) -> tuple[bytes, int]:
    try:
        if path.is_dir():
            raise PriorError(f"{path} is a folder, not a checkpoint file")
        with path.open("rb") as file:
            return file.read(_HEAD), path.stat().st_size
    except FileNotFoundError:
        raise PriorError(f"{path} does not exist") from None
    except OSError as error:
        raise PriorError(f"{path} cannot be read: {error.strerror}") from None


def _zip_kind(path: Path) -> str:
    """torch's files are zip archives, whose table of contents comes last."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise PriorError(
            f"{path} is cut off: the end of the file, which lists its contents, is missing; get it anew"
        ) from None
    if any(name.endswith("constants.pkl") for name in names) and any("/code/" in name for name in names):
        return "a TorchScript program, which is code; export it to ONNX where you trust it"
    if any(name.endswith("data.pkl") for name in names):
        return "torch"
    if names and all(name.endswith(".npy") for name in names):
        return "a NumPy archive (.npz)"
    return "a zip archive without weights (unpack it first)"


def _is_safetensors(head: bytes, size: int, path: Path) -> bool:
    header = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and header <= _LARGEST_HEADER:
        if 8 + header > size:
            raise PriorError(
                f"{path} is cut off: its header alone is {header} bytes long and the file {size}; get it anew"
            )
        return True
    return path.suffix.lower() == ".safetensors"


def _globals(file: IO[bytes]) -> list[str]:
    found: list[str] = []
    texts: list[str] = []
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if isinstance(argument, str) and opcode.name != "GLOBAL":
                texts = [*texts[-1:], argument]
            name = argument if opcode.name in ("GLOBAL", "INST") else None
            if opcode.name == "STACK_GLOBAL" and len(texts) == 2:
                name = " ".join(texts)
            if name is not None and not _harmless(str(name)) and (dotted := str(name).replace(" ", ".")) not in found:
                found.append(dotted)
            if len(found) >= 3 or count > _OPCODES:
                break
    except (ValueError, IndexError, KeyError, UnicodeDecodeError, EOFError, MemoryError, OverflowError):
        pass  # the list ends where the damage begins
    return found


def _harmless(name: str) -> bool:
    return name in _HARMLESS or name.startswith(_HARMLESS_MODULES)
