"""A bucket as S3 serves one: lists with ListObjectsV2, HEAD, and GET with ranges. A signature is seen, and
not checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import md5
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from loopback import Answer, Request, Service, running

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
PAGE = 5
"""Keys in one page of a list: few, so that every list has several."""


class Bucket(Service):
    """One bucket, with the files of a folder. `private`: only signed requests are answered."""

    def __init__(self, name: str, root: Path, private: bool = False) -> None:
        super().__init__()
        self.name = name
        self.files = {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()}
        self.private = private

    def answer(self, request: Request) -> Answer:
        if self.private and "Authorization" not in request.headers:
            return self._error(403, "AccessDenied")
        bucket, _, key = request.path.lstrip("/").partition("/")
        if bucket != self.name:
            return self._error(404, "NoSuchBucket")
        if not key:
            return self._list(request.query)
        if key not in self.files:
            return self._error(404, "NoSuchKey")
        data = self.files[key].read_bytes()
        headers = {"ETag": f'"{md5(data).hexdigest()}"', "Last-Modified": "Mon, 30 Nov 2026 12:00:00 GMT"}
        return Answer(200, data, {**headers, "Accept-Ranges": "bytes"}, large=True)

    def _list(self, query: dict[str, str]) -> Answer:
        """One page of the keys that begin with a prefix, those below the next delimiter as one."""
        prefix, end = query.get("prefix", ""), query.get("delimiter", "")
        keys = [key for key in self.files if key.startswith(prefix)]
        below = {prefix + key[len(prefix) :].split(end)[0] + end for key in keys if end and end in key[len(prefix) :]}
        found = sorted([key for key in keys if not any(key.startswith(one) for one in below)] + [*below])
        start = int(query.get("continuation-token", "0"))
        rows = [self._row(one, one in below) for one in found[start : start + PAGE]]
        more = start + PAGE < len(found)
        token = f"<NextContinuationToken>{start + PAGE}</NextContinuationToken>" if more else ""
        count = f"<KeyCount>{len(rows)}</KeyCount><IsTruncated>{str(more).lower()}</IsTruncated>{token}"
        return self._xml(
            200,
            f'<ListBucketResult xmlns="{NAMESPACE}"><Name>{self.name}</Name>{count}{"".join(rows)}</ListBucketResult>',
        )

    def _row(self, key: str, is_folder: bool) -> str:
        if is_folder:
            return f"<CommonPrefixes><Prefix>{escape(key)}</Prefix></CommonPrefixes>"
        size = self.files[key].stat().st_size
        when = "<LastModified>2026-11-30T12:00:00.000Z</LastModified>"
        kind = "<StorageClass>STANDARD</StorageClass>"
        return f"<Contents><Key>{escape(key)}</Key>{when}<Size>{size}</Size>{kind}</Contents>"

    def _error(self, status: int, code: str) -> Answer:
        return self._xml(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>")

    def _xml(self, status: int, text: str) -> Answer:
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()
        return Answer(status, body, {"Content-Type": "application/xml"})


@contextmanager
def running_bucket(patch: pytest.MonkeyPatch, bucket: Bucket, key: str = "") -> Iterator[Bucket]:
    """Run a bucket, and let the environment lead every client of S3 to it. `key`: the user's; empty: none is known."""
    import s3fs

    with running(bucket):
        settings = {"AWS_ENDPOINT_URL_S3": f"http://{bucket.base}", "AWS_EC2_METADATA_DISABLED": "true"}
        settings |= {"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}
        settings |= {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": key, "AWS_DEFAULT_REGION": "us-east-1"}
        for name, value in settings.items():
            patch.setenv(name, value) if value else patch.delenv(name, raising=False)
        s3fs.S3FileSystem.clear_instance_cache()
        yield bucket
        s3fs.S3FileSystem.clear_instance_cache()
