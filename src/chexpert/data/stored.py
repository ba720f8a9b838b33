"""Objects below one URI of a store: one listing says what is there, then each is read or written by one request."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import fsspec
from botocore.exceptions import BotoCoreError, NoCredentialsError  # s3fs's client

from chexpert.data.errors import UnreadableData
from chexpert.domain.errors import RetryableError

__all__ = ["SourceUnavailable", "Store", "Stored"]

_BLOCK: Final = 8 << 20
"""Bytes per request: nearly every image comes by one, and a thread holds no more than this."""


class SourceUnavailable(RetryableError):
    """The store did not answer, or broke off, after its client's own retries."""

    def __init__(self, uri: str, error: Exception) -> None:
        super().__init__(f"{uri}: the store does not answer: {str(error).splitlines()[0] if str(error) else error!r}")
        self.uri = uri


@dataclass(frozen=True, slots=True)
class Stored:
    """What the listing says of one object."""

    size: int
    """Bytes."""
    etag: str
    """The store's own tag of these bytes, without quotes; empty where it gives none. S3's is the MD5 of what one PUT
    wrote, and something else after an upload in parts or under a KMS key."""


class Store:
    """A prefix of an object store; names are relative to it."""

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")
        try:
            fs, path = fsspec.core.url_to_fs(self.uri)
        except (ValueError, ImportError) as error:
            raise UnreadableData(uri, reason=f"no store known by this address: {error}") from error
        self._fs: Any = fs
        self._path = str(path).rstrip("/")

    def uri_of(self, name: str) -> str:
        """URI of one object."""
        return f"{self.uri}/{name}"

    def listing(self) -> dict[str, Stored]:
        """All objects below, sorted by name, as they are now; none where nothing is there.

        S3 answers 1,000 names per request: 224 requests for CheXpert.

        Raises:
            UnreadableData: no such bucket, or access denied.
            SourceUnavailable: no answer.
        """
        try:
            with _asking(self.uri):
                return dict(sorted(self._pages() if hasattr(self._fs, "call_s3") else self._found()))
        except FileNotFoundError as error:
            raise UnreadableData(self.uri, reason="there is no such bucket or folder") from error

    def read(self, name: str) -> bytes:
        """The whole object; FileNotFoundError where there is none, else the errors of `listing`."""
        with _asking(self.uri_of(name)):
            data: bytes = self._fs.cat_file(f"{self._path}/{name}")
        return data

    def sha256(self, name: str, size: int) -> str:
        """64 hexadecimal digits over `size` bytes read in blocks of 8 MiB; empty where the object has gone.

        Raises:
            UnreadableData: access denied.
            SourceUnavailable: no answer.
        """
        digest = sha256()
        try:
            with _asking(self.uri_of(name)):
                for start in range(0, size, _BLOCK):
                    end = min(start + _BLOCK, size)
                    digest.update(self._fs.cat_file(f"{self._path}/{name}", start=start, end=end))
        except FileNotFoundError:
            return ""
        return digest.hexdigest()

    def _pages(self) -> Iterator[tuple[str, Stored]]:
        # s3fs's own `find` compares each folder with all before it: on 224,000 made-up names, CheXpert's number, it had
        # not ended after nine minutes; this took 5 s. Both without the network's time.
        bucket, key, _ = self._fs.split_path(self._path)
        prefix = f"{key}/" if key else ""
        page: dict[str, Any] = {"IsTruncated": True}
        while page.get("IsTruncated"):
            token = page.get("NextContinuationToken")
            more = {"ContinuationToken": token} if token else {}
            page = self._fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, **more)
            for one in page.get("Contents", []):
                if not one["Key"].endswith("/"):
                    yield one["Key"].removeprefix(prefix), Stored(int(one["Size"]), one["ETag"].strip('"'))

    def _found(self) -> Iterator[tuple[str, Stored]]:
        self._fs.invalidate_cache()
        for path, about in self._fs.find(self._path, detail=True).items():
            if about["type"] == "file" and (name := path[len(self._path) + 1 :]):
                yield name, Stored(int(about["size"]), str(about.get("ETag", "")).strip('"'))

    def put(self, name: str, file: Path) -> None:
        """Write one object, visible when complete; FileNotFoundError without the bucket, else as `listing`."""
        with _asking(self.uri_of(name)):
            self._fs.put_file(str(file), f"{self._path}/{name}")


@contextmanager
def _asking(uri: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, RetryableError):
        raise
    except (PermissionError, NoCredentialsError) as error:
        reason = f"access denied: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy ({error})"
        raise UnreadableData(uri, reason=reason) from error
    except (OSError, BotoCoreError) as error:
        raise SourceUnavailable(uri, error) from error
