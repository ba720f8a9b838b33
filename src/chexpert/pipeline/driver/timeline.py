"""The timeline of one environment: numbered JSON objects, each written once and never changed."""

import os
import tempfile
from pathlib import Path

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from chexpert.domain.errors import InputError, RetryableError
from chexpert.domain.timeline import ROLLOUTS_PREFIX, TimelineEvent

__all__ = ["BrokenEvent", "NumberTaken", "Timeline"]


class NumberTaken(RetryableError):
    """Another driver wrote this event first."""

    def __init__(self, uri: str) -> None:
        super().__init__(f"{uri} was just written by someone else: read the timeline again")
        self.uri = uri


class BrokenEvent(InputError):
    """An object of the timeline that is no event."""

    def __init__(self, uri: str, reason: str) -> None:
        super().__init__(f"{uri} is no timeline event ({reason}): move it away")
        self.uri = uri


class Timeline:
    """Events at rollouts/<environment>/<number, 8 digits>.json."""

    def __init__(self, objects: str, environment: str) -> None:
        self._filesystem, root = url_to_fs(objects)
        self._folder = f"{root.rstrip('/')}/{ROLLOUTS_PREFIX}/{environment}"

    def read(self) -> tuple[TimelineEvent, ...]:
        """All events, oldest first.

        Raises:
            BrokenEvent: An object is no event.
        """
        events = []
        paths = self._paths()
        contents = self._filesystem.cat(paths) if paths else {}  # from an object store, ten at a time
        for path in paths:
            try:
                events.append(TimelineEvent.from_json(contents[path].decode()))
            except (ValueError, KeyError, TypeError) as error:
                raise BrokenEvent(path, str(error)) from error
        return tuple(events)

    def append(self, event: TimelineEvent) -> TimelineEvent:
        """Write the next event, whole or not at all.

        Raises:
            NumberTaken: Someone else wrote at the same moment.
        """
        taken = self._paths()
        number = int(taken[-1].rsplit("/", 1)[-1].removesuffix(".json")) + 1 if taken else 1
        path = f"{self._folder}/{number:08}.json"
        data = event.to_json().encode()
        try:
            if isinstance(self._filesystem, LocalFileSystem):
                _create(Path(path), data)
            else:
                self._filesystem.pipe_file(path, data, mode="create")
        except FileExistsError as error:
            raise NumberTaken(path) from error
        return event

    def _paths(self) -> list[str]:
        return sorted(self._filesystem.glob(f"{self._folder}/[0-9]*.json"))


def _create(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".event-") as part:
        os.fchmod(part.fileno(), 0o644)  # the site reads it, as another user perhaps
        part.write(data)
        part.flush()
        os.fsync(part.fileno())
        os.link(part.name, path)  # fails where the name is taken, and is never half there
