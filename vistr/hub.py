"""Weights from the Hugging Face Hub: `hf://owner/name/file`, optionally `hf://owner/name@revision/file`."""

from __future__ import annotations

import hashlib
import logging
import re
from pathlib import Path

from vistr.errors import UserError

logger = logging.getLogger(__name__)

SCHEME = "hf:/"  # pathlib swallows the second slash of a path it is given
_ADDRESS = re.compile(r"^hf://?([\w.-]+/[\w.-]+)(?:@([\w.-]+))?/(.+)$")
_SHA256 = re.compile(r"^[0-9a-f]{64}$")


def is_remote(name: str | Path) -> bool:
    """Whether `name` lies on the Hub."""
    return str(name).startswith(SCHEME)


def local_file(name: str | Path) -> Path:
    """The local path of a path or an `hf://` address, which is downloaded once and kept in Hugging Face's cache.

    A large file is compared with the checksum it is stored under. Raises UserError for an address that is not of this
    form, where there is no such file, without network or cache, and for a damaged download.
    """
    if not is_remote(name):
        return Path(name)
    address = _ADDRESS.match(str(name))
    if address is None:
        raise UserError(f"{name} is no address on the Hub: write hf://owner/name/file or hf://owner/name@revision/file")
    repository, revision, file = address.groups()
    shown = f"hf://{repository}{'@' + revision if revision else ''}/{file}"
    path = _download(repository, revision, file, shown)
    _verify(path, shown)
    logger.info("%s lies in %s", shown, path)
    return path


def _download(repository: str, revision: str | None, file: str, shown: str) -> Path:
    from huggingface_hub import errors, hf_hub_download

    try:
        return Path(hf_hub_download(repository, file, revision=revision))
    except (errors.GatedRepoError, errors.RepositoryNotFoundError) as error:
        what = "asks for an account that may read it" if isinstance(error, errors.GatedRepoError) else "is not there"
        raise UserError(f"{shown}: {repository} {what} (a private one needs `hf auth login`)") from error
    except errors.RevisionNotFoundError as error:
        raise UserError(f"{shown}: {repository} has no revision {revision}") from error
    # Its class for "not in the cache, and no network" is one of "not there" as well: it must come first.
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise UserError(
            f"{shown} is not in the cache, and the Hub cannot be reached: go online, or download the file elsewhere"
            " and give its path"
        ) from error
    except errors.EntryNotFoundError as error:
        raise UserError(f"{shown}: {repository} has no file {file}") from error
    except Exception as error:  # the HTTP library has its own, and may change
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{shown} could not be downloaded: {reason}") from error


def _verify(path: Path, shown: str) -> None:
    """The cache names a large file by its SHA-256, and only those: the others are a few kilobytes."""
    stored = path.resolve()
    if not _SHA256.match(stored.name):
        return
    digest = hashlib.sha256()
    with stored.open("rb") as file:
        while chunk := file.read(1 << 22):
            digest.update(chunk)
    if digest.hexdigest() != stored.name:
        raise UserError(f"{shown}: its copy {stored} is damaged; delete that file and try again")
