"""The triage site through the gateway, as a modality or a script uses it."""

import io
import time
from collections import Counter
from types import TracebackType
from typing import Any, Self

import httpx
import numpy as np
from PIL import Image

from cluster_harness.world import World

__all__ = ["Site", "noise_png"]


def noise_png(seed: int) -> bytes:
    """A small PNG with bytes of its own."""
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (96, 96), np.uint8)).save(stream, "PNG")
    return stream.getvalue()


class Site:
    """One user's connection; an empty name logs nobody in."""

    def __init__(self, world: World, user: str, password: str) -> None:
        self.accepted: list[str] = []
        """Studies that the site said it has."""
        self.refused: Counter[int] = Counter()
        """Uploads it said no to, by status; 0: no answer."""
        self._client = httpx.Client(
            base_url=f"http://{world.gateway}",
            headers={"host": world.site_host},
            auth=(user, password) if user else None,
            timeout=20.0,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def try_upload(self, image: bytes, name: str) -> int:
        """Upload one image as a study of its own; the status, kept in `accepted` or `refused`; 0: no answer."""
        try:
            answer = self._client.post("/api/studies", files={"images": (name, image, "image/png")})
        except httpx.HTTPError:
            self.refused[0] += 1
            return 0
        if answer.status_code == httpx.codes.CREATED:
            self.accepted.append(answer.json()["study"])
        else:
            self.refused[answer.status_code] += 1
        return answer.status_code

    def upload(self, image: bytes, name: str) -> str:
        """Upload one image that must be accepted; its study."""
        status = self.try_upload(image, name)
        assert status == httpx.codes.CREATED, status
        return self.accepted[-1]

    def send_for(self, seconds: float) -> None:
        """Upload a new image again and again."""
        end, n = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            n += 1
            self.try_upload(noise_png(n), f"noise-{n}.png")
            time.sleep(0.2)

    def entries(self) -> list[dict[str, Any]]:
        """The worklist."""
        answer = self._client.get("/api/worklist", params={"limit": 1000})
        if answer.status_code != httpx.codes.OK:
            raise OSError(f"the worklist answers {answer.status_code}: {answer.text[:200]}")  # noqa: TRY003, EM102
        entries: list[dict[str, Any]] = answer.json()["entries"]
        return entries

    def listed(self) -> set[str]:
        """Studies on the worklist."""
        return {str(entry["study"]) for entry in self.entries()}
