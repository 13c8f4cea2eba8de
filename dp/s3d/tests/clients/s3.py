"""Cases that boto3 and the minio client put to the server: `s3.py CASE`, with where it is in the environment."""

import base64
import concurrent.futures
import hashlib
import hmac
import http.client
import io
import os
import struct
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from datetime import datetime, timedelta, timezone

import boto3
import urllib3
from botocore.config import Config
from botocore.exceptions import ClientError
from minio import Minio

from tls import tls_in_front

ENDPOINT = os.environ["S3_ENDPOINT"]
MIB = 1 << 20


def client(user="root", secret=None, **config):
    config.setdefault("retries", {"max_attempts": 1})
    return boto3.client(
        "s3",
        endpoint_url=ENDPOINT,
        aws_access_key_id=f"{user}-key",
        aws_secret_access_key=secret or f"{user}-secret",
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, **config),
    )


def refused(code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
        return error.response
    raise AssertionError(f"{code} was expected")


def body(s3, bucket, key, **more):
    return s3.get_object(Bucket=bucket, Key=key, **more)["Body"].read()


def objects():
    s3 = client()
    for size in [0, 1, 4096, 16 << 10, (16 << 10) + 1, 64 << 10, MIB, 3 * MIB + 17]:
        data = os.urandom(size)
        put = s3.put_object(
            Bucket="plain", Key=f"size/{size}", Body=data, ContentType="x/y", Metadata={"colour": "blue"}, CacheControl="no-store"
        )
        assert put["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
        got = s3.get_object(Bucket="plain", Key=f"size/{size}")
        assert got["Body"].read() == data and got["ContentType"] == "x/y" and got["Metadata"] == {"colour": "blue"}
        assert got["ContentLength"] == size and got["CacheControl"] == "no-store" and "ContentEncoding" not in got
        if size > 100:
            for begin, end in [(0, 0), (5, 99), (size // 2, size - 1), (size - 1, size + 50)]:
                part = s3.get_object(Bucket="plain", Key=f"size/{size}", Range=f"bytes={begin}-{end}")
                assert part["Body"].read() == data[begin : end + 1], (size, begin, end)
                assert part["ContentRange"] == f"bytes {begin}-{min(end, size - 1)}/{size}"
            assert body(s3, "plain", f"size/{size}", Range="bytes=-7") == data[-7:]
        refused("InvalidRange", s3.get_object, Bucket="plain", Key=f"size/{size}", Range=f"bytes={size}-")
    assert s3.head_object(Bucket="plain", Key="size/4096")["ContentLength"] == 4096
    copy = s3.copy_object(Bucket="plain", Key="copy", CopySource="plain/size/4096")
    assert copy["CopyObjectResult"]["ETag"] == s3.head_object(Bucket="plain", Key="size/4096")["ETag"]
    assert s3.head_object(Bucket="plain", Key="copy")["Metadata"] == {"colour": "blue"}
    refused("InvalidRequest", s3.copy_object, Bucket="plain", Key="copy", CopySource="plain/copy")
    s3.copy_object(Bucket="plain", Key="copy", CopySource="plain/copy", MetadataDirective="REPLACE", Metadata={"a": "b"})
    assert s3.head_object(Bucket="plain", Key="copy")["Metadata"] == {"a": "b"}
    s3.delete_object(Bucket="plain", Key="copy")
    refused("NoSuchKey", s3.get_object, Bucket="plain", Key="copy")
    refused("404", s3.head_object, Bucket="plain", Key="copy")
    names = [{"Key": item["Key"]} for item in s3.list_objects_v2(Bucket="plain")["Contents"]]
    assert len(s3.delete_objects(Bucket="plain", Delete={"Objects": names})["Deleted"]) == len(names)
    assert s3.list_objects_v2(Bucket="plain")["KeyCount"] == 0
    refused("NoSuchBucket", s3.get_object, Bucket="absent", Key="x")
    refused("BucketAlreadyOwnedByYou", s3.create_bucket, Bucket="plain")
    refused("AccessDenied", s3.create_bucket, Bucket="another")
    refused("InvalidBucketName", s3.list_objects_v2, Bucket="NOT_one")
    refused("AccessControlListNotSupported", s3.put_object, Bucket="plain", Key="x", Body=b"", GrantRead="id=anybody")
    refused("InvalidStorageClass", s3.put_object, Bucket="plain", Key="x", Body=b"", StorageClass="GLACIER")
    too_large(client(signature_version="s3v4").generate_presigned_url("put_object", Params={"Bucket": "plain", "Key": "x"}))
    refused("MetadataTooLarge", s3.put_object, Bucket="plain", Key="x", Body=b"", Metadata={"a": "b" * 3000})


def too_large(url):
    """Refused before a byte of it comes."""
    where = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(where.netloc)
    connection.putrequest("PUT", f"{where.path}?{where.query}")
    connection.putheader("Content-Length", str((5 << 30) + 1))
    connection.putheader("Expect", "100-continue")
    connection.endheaders()
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status == 400 and b"<Code>EntityTooLarge</Code>" in text, (answer.status, text)


def keys():
    s3 = client()
    odd = ["a/../b", "..", "a//b", "/lead", "trail/", "sp ace+plus%25", "日本語/ключ", "x" * 1024, "\U0001f600", "a\\b", "tab\there", "q?&=#"]
    for key in odd:
        s3.put_object(Bucket="plain", Key=key, Body=key.encode())
    listed = [item["Key"] for item in s3.list_objects_v2(Bucket="plain")["Contents"]]
    assert listed == sorted(odd, key=str.encode), listed
    for key in odd:
        assert body(s3, "plain", key) == key.encode()
        assert s3.copy_object(Bucket="plain", Key=key + "!" if len(key) < 1000 else "y", CopySource={"Bucket": "plain", "Key": key})
        s3.delete_object(Bucket="plain", Key=key)
    refused("KeyTooLongError", s3.put_object, Bucket="plain", Key="x" * 1025, Body=b"")


def conditions():
    s3 = client()
    etag = s3.put_object(Bucket="plain", Key="c", Body=b"one", IfNoneMatch="*")["ETag"]
    refused("PreconditionFailed", s3.put_object, Bucket="plain", Key="c", Body=b"two", IfNoneMatch="*")
    refused("PreconditionFailed", s3.put_object, Bucket="plain", Key="c", Body=b"two", IfMatch='"00000000000000000000000000000000"')
    refused("NoSuchKey", s3.put_object, Bucket="plain", Key="none", Body=b"two", IfMatch=etag)
    assert body(s3, "plain", "c", IfMatch=etag) == b"one"
    refused("PreconditionFailed", s3.get_object, Bucket="plain", Key="c", IfMatch='"0"')
    assert refused("304", s3.get_object, Bucket="plain", Key="c", IfNoneMatch=etag)["ResponseMetadata"]["HTTPStatusCode"] == 304
    hour = timedelta(hours=1)
    now = datetime.now(timezone.utc)
    refused("304", s3.head_object, Bucket="plain", Key="c", IfModifiedSince=now + hour)
    refused("PreconditionFailed", s3.get_object, Bucket="plain", Key="c", IfUnmodifiedSince=now - hour)
    assert body(s3, "plain", "c", IfModifiedSince=now - hour, IfUnmodifiedSince=now + hour) == b"one"

    # Of the source of a copy, and of what it replaces.
    copy = {"Bucket": "plain", "Key": "copy", "CopySource": "plain/c"}
    refused("PreconditionFailed", s3.copy_object, **copy, CopySourceIfMatch='"0"')
    refused("PreconditionFailed", s3.copy_object, **copy, CopySourceIfNoneMatch=etag)
    refused("PreconditionFailed", s3.copy_object, **copy, CopySourceIfModifiedSince=now + hour)
    refused("PreconditionFailed", s3.copy_object, **copy, CopySourceIfUnmodifiedSince=now - hour)
    s3.copy_object(**copy, CopySourceIfMatch=etag, CopySourceIfUnmodifiedSince=now - hour, IfNoneMatch="*")
    refused("PreconditionFailed", s3.copy_object, **copy, IfNoneMatch="*")
    refused("PreconditionFailed", s3.copy_object, **copy, IfMatch='"0"')
    s3.copy_object(**copy, IfMatch=etag)
    refused("PreconditionFailed", s3.delete_object, Bucket="plain", Key="copy", IfMatch='"0"')
    s3.delete_object(Bucket="plain", Key="copy", IfMatch=etag)
    upload = {"Bucket": "plain", "Key": "c", "UploadId": s3.create_multipart_upload(Bucket="plain", Key="c")["UploadId"]}
    part = s3.upload_part(**upload, PartNumber=1, Body=b"two")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
    refused("PreconditionFailed", s3.complete_multipart_upload, **upload, MultipartUpload=parts, IfNoneMatch="*")
    s3.complete_multipart_upload(**upload, MultipartUpload=parts, IfMatch=etag)
    assert body(s3, "plain", "c") == b"two"

    # Of many that create at once, one does.
    def create(number):
        try:
            client().put_object(Bucket="plain", Key="race", Body=str(number).encode(), IfNoneMatch="*")
            return 1
        except ClientError as error:
            assert error.response["Error"]["Code"] == "PreconditionFailed"
            return 0

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(16))) == 1


def listing():
    s3 = client()
    names = sorted(f"{folder}/{number:03}" for folder in ["a", "b", "c"] for number in range(40)) + ["d", "e"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket="plain", Key=key, Body=b"x"), names))
    for version, marker in [("list_objects_v2", None), ("list_objects", None)]:
        pages = s3.get_paginator(version).paginate(Bucket="plain", PaginationConfig={"PageSize": 7})
        assert [item["Key"] for page in pages for item in page.get("Contents", [])] == names, version
        pages = list(s3.get_paginator(version).paginate(Bucket="plain", Delimiter="/", PaginationConfig={"PageSize": 2}))
        assert [item["Prefix"] for page in pages for item in page.get("CommonPrefixes", [])] == ["a/", "b/", "c/"], pages
        assert [item["Key"] for page in pages for item in page.get("Contents", [])] == ["d", "e"]
        pages = s3.get_paginator(version).paginate(Bucket="plain", Prefix="b/03", PaginationConfig={"PageSize": 3})
        assert len([item for page in pages for item in page["Contents"]]) == 10
    assert s3.list_objects_v2(Bucket="plain", StartAfter="c/038")["Contents"][0]["Key"] == "c/039"
    assert s3.list_objects_v2(Bucket="plain", MaxKeys=0)["KeyCount"] == 0
    refused("InvalidArgument", s3.list_objects_v2, Bucket="plain", ContinuationToken="*")

    # Versions of keys that come and go, and uploads that are under way.
    for key in ["a/1", "a/1", "b/1", "c", "c"]:
        s3.put_object(Bucket="versioned", Key=key, Body=b"x")
    s3.delete_object(Bucket="versioned", Key="b/1")
    pages = s3.get_paginator("list_object_versions")
    found = list(pages.paginate(Bucket="versioned", Delimiter="/", PaginationConfig={"PageSize": 1}))
    assert [item["Prefix"] for page in found for item in page.get("CommonPrefixes", [])] == ["a/", "b/"], found
    assert [item["Key"] for page in found for item in page.get("Versions", [])] == ["c", "c"]
    found = list(pages.paginate(Bucket="versioned", Prefix="b/", PaginationConfig={"PageSize": 1}))
    assert [len(page.get("Versions", [])) + len(page.get("DeleteMarkers", [])) for page in found] == [1, 1]
    for key in ["a/1", "a/2", "b", "b", "c/1"]:
        s3.create_multipart_upload(Bucket="plain", Key=key)
    pages = s3.get_paginator("list_multipart_uploads")
    found = list(pages.paginate(Bucket="plain", PaginationConfig={"PageSize": 2}))
    assert [item["Key"] for page in found for item in page.get("Uploads", [])] == ["a/1", "a/2", "b", "b", "c/1"], found
    found = list(pages.paginate(Bucket="plain", Delimiter="/", PaginationConfig={"PageSize": 1}))
    assert [item["Prefix"] for page in found for item in page.get("CommonPrefixes", [])] == ["a/", "c/"], found
    assert [item["Key"] for page in found for item in page.get("Uploads", [])] == ["b", "b"]


def versions():
    s3 = client()
    ids = [s3.put_object(Bucket="versioned", Key="v", Body=str(number).encode())["VersionId"] for number in range(5)]
    assert body(s3, "versioned", "v") == b"4" and body(s3, "versioned", "v", VersionId=ids[1]) == b"1"
    marker = s3.delete_object(Bucket="versioned", Key="v")
    assert marker["DeleteMarker"]
    refused("NoSuchKey", s3.get_object, Bucket="versioned", Key="v")
    refused("MethodNotAllowed", s3.get_object, Bucket="versioned", Key="v", VersionId=marker["VersionId"])
    pages = list(s3.get_paginator("list_object_versions").paginate(Bucket="versioned", PaginationConfig={"PageSize": 2}))
    assert [item["VersionId"] for page in pages for item in page.get("Versions", [])] == ids[::-1], pages
    assert [item["IsLatest"] for page in pages for item in page.get("DeleteMarkers", [])] == [True]
    s3.delete_object(Bucket="versioned", Key="v", VersionId=marker["VersionId"])
    assert body(s3, "versioned", "v") == b"4"
    s3.delete_object(Bucket="versioned", Key="v", VersionId=ids[4])
    assert body(s3, "versioned", "v") == b"3"
    restored = s3.copy_object(Bucket="versioned", Key="v", CopySource={"Bucket": "versioned", "Key": "v", "VersionId": ids[0]})
    assert body(s3, "versioned", "v") == b"0" and restored["CopySourceVersionId"] == ids[0]
    assert s3.get_bucket_versioning(Bucket="versioned")["Status"] == "Enabled"
    refused("NoSuchVersion", s3.get_object, Bucket="versioned", Key="v", VersionId=ids[4])


def suspended():
    s3 = client()
    assert s3.get_bucket_versioning(Bucket="versioned")["Status"] == "Suspended"
    old = s3.list_object_versions(Bucket="versioned")["Versions"]
    for text in [b"null one", b"null two"]:
        assert "VersionId" not in s3.put_object(Bucket="versioned", Key="v", Body=text)
    now = s3.list_object_versions(Bucket="versioned")["Versions"]
    assert len(now) == len(old) + 1 and now[0]["VersionId"] == "null" and now[0]["IsLatest"]
    s3.delete_object(Bucket="versioned", Key="v")
    found = s3.list_object_versions(Bucket="versioned")
    assert len(found["Versions"]) == len(old) and found["DeleteMarkers"][0]["VersionId"] == "null"
    s3.delete_object(Bucket="versioned", Key="v", VersionId="null")
    assert body(s3, "versioned", "v") == b"0"


def multipart(only=None):
    s3 = client()
    parts = [os.urandom(5 * MIB), os.urandom(5 * MIB + 3), os.urandom(1000)]
    for algorithm, kind in [(None, None), ("CRC32", "COMPOSITE"), ("CRC32", "FULL_OBJECT"), ("CRC32C", "FULL_OBJECT"), ("CRC64NVME", None), ("SHA256", None)]:
        if only and algorithm != only:
            continue
        extra = {"ChecksumAlgorithm": algorithm} if algorithm else {}
        upload = s3.create_multipart_upload(Bucket="plain", Key="m", Metadata={"k": "v"}, **extra, **({"ChecksumType": kind} if kind else {}))
        where = {"Bucket": "plain", "Key": "m", "UploadId": upload["UploadId"]}
        done = []
        for number, data in enumerate(parts, 1):
            sent = s3.upload_part(**where, PartNumber=number, Body=data, **extra)
            sums = {name: value for name, value in sent.items() if name.startswith("Checksum")}
            done.append({"PartNumber": number, "ETag": sent["ETag"], **(sums if algorithm else {})})
        assert [part["Size"] for part in s3.list_parts(**where, MaxParts=2)["Parts"]] == [len(parts[0]), len(parts[1])]
        assert s3.list_multipart_uploads(Bucket="plain")["Uploads"][0]["UploadId"] == upload["UploadId"]
        refused("InvalidPartOrder", s3.complete_multipart_upload, **where, MultipartUpload={"Parts": done[::-1]})
        wrong = {"PartNumber": 9, "ETag": done[0]["ETag"]}
        refused("InvalidPart", s3.complete_multipart_upload, **where, MultipartUpload={"Parts": [*done, wrong]})
        completed = s3.complete_multipart_upload(**where, MultipartUpload={"Parts": done})
        whole = b"".join(hashlib.md5(data).digest() for data in parts)
        assert completed["ETag"] == f'"{hashlib.md5(whole).hexdigest()}-3"'
        got = s3.get_object(Bucket="plain", Key="m", ChecksumMode="ENABLED")
        assert got["Body"].read() == b"".join(parts) and got["Metadata"] == {"k": "v"}
        if algorithm == "SHA256":
            digest = hashlib.sha256(b"".join(hashlib.sha256(data).digest() for data in parts)).digest()
            assert got["ChecksumSHA256"] == base64.b64encode(digest).decode() + "-3"
        assert body(s3, "plain", "m", Range=f"bytes={5 * MIB - 2}-{5 * MIB + 1}") == b"".join(parts)[5 * MIB - 2 : 5 * MIB + 2]
        assert body(s3, "plain", "m", PartNumber=3) == parts[2]
    refused("NoSuchUpload", s3.list_parts, **where)
    upload = s3.create_multipart_upload(Bucket="plain", Key="small")
    where = {"Bucket": "plain", "Key": "small", "UploadId": upload["UploadId"]}
    etags = [s3.upload_part(**where, PartNumber=number, Body=b"x")["ETag"] for number in [1, 2]]
    done = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
    refused("EntityTooSmall", s3.complete_multipart_upload, **where, MultipartUpload={"Parts": done})
    s3.abort_multipart_upload(**where)
    refused("NoSuchUpload", s3.upload_part, **where, PartNumber=1, Body=b"x")
    upload = s3.create_multipart_upload(Bucket="plain", Key="mc")
    where = {"Bucket": "plain", "Key": "mc", "UploadId": upload["UploadId"]}
    copied = s3.upload_part_copy(**where, PartNumber=1, CopySource="plain/m", CopySourceRange=f"bytes=10-{6 * MIB}")
    done = [{"PartNumber": 1, "ETag": copied["CopyPartResult"]["ETag"]}]
    s3.complete_multipart_upload(**where, MultipartUpload={"Parts": done})
    assert body(s3, "plain", "mc") == b"".join(parts)[10 : 6 * MIB + 1]
    if only:
        return
    data = os.urandom(64 * MIB)
    s3.upload_fileobj(io.BytesIO(data), "plain", "big")
    back = io.BytesIO()
    s3.download_fileobj("plain", "big", back)
    assert back.getvalue() == data
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="plain")


def expiry():
    s3 = client()
    s3.create_multipart_upload(Bucket="plain", Key="old")
    for _ in range(100):
        if "Uploads" not in s3.list_multipart_uploads(Bucket="plain"):
            return
        time.sleep(0.2)
    raise AssertionError("the upload is not aborted")


def checksums():
    s3 = client()
    for algorithm in ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]:
        for data in [b"short", os.urandom(100_000)]:
            put = s3.put_object(Bucket="plain", Key="sum", Body=data, ChecksumAlgorithm=algorithm)
            got = s3.get_object(Bucket="plain", Key="sum", ChecksumMode="ENABLED")
            assert got["Body"].read() == data and got[f"Checksum{algorithm}"] == put[f"Checksum{algorithm}"]
            assert s3.head_object(Bucket="plain", Key="sum", ChecksumMode="ENABLED")["ChecksumType"] == "FULL_OBJECT"
    refused("BadDigest", s3.put_object, Bucket="plain", Key="sum", Body=b"x", ChecksumSHA256=base64.b64encode(b"0" * 32).decode())
    refused("InvalidDigest", s3.put_object, Bucket="plain", Key="sum", Body=b"x", ContentMD5="none")
    refused("BadDigest", s3.put_object, Bucket="plain", Key="sum", Body=b"x", ContentMD5=base64.b64encode(b"0" * 16).decode())
    assert s3.head_object(Bucket="plain", Key="sum")["ContentLength"] == 100_000
    attributes = s3.get_object_attributes(Bucket="plain", Key="sum", ObjectAttributes=["Checksum", "ObjectSize", "ETag"])
    assert attributes["ObjectSize"] == 100_000 and "ChecksumSHA256" in attributes["Checksum"]


def trailers():
    """Over TLS boto3 sends its checksums behind the body; here somebody in front of the server ends TLS."""
    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    s3 = boto3.client(
        "s3", endpoint_url=tls_in_front(ENDPOINT), aws_access_key_id="root-key", aws_secret_access_key="root-secret", region_name="us-east-1",
        verify=False, config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )
    sent = []
    s3.meta.events.register("before-send.s3.PutObject", lambda request, **more: sent.append(request.headers))
    for algorithm in ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]:
        for size in [0, 5, 100_000, 2 * MIB + 1]:
            data = os.urandom(size)
            put = s3.put_object(Bucket="plain", Key="behind", Body=io.BytesIO(data), ChecksumAlgorithm=algorithm)
            assert sent[-1]["X-Amz-Trailer"].decode() == f"x-amz-checksum-{algorithm.lower()}", sent[-1]
            got = s3.get_object(Bucket="plain", Key="behind", ChecksumMode="ENABLED")
            assert got["Body"].read() == data and got[f"Checksum{algorithm}"] == put[f"Checksum{algorithm}"]
            assert "ContentEncoding" not in got
    import botocore.httpchecksum

    # A checksum of something else comes behind the body.
    wrong = botocore.httpchecksum.Sha256Checksum
    real = wrong.digest
    wrong.digest = lambda self: hashlib.sha256(b"something else").digest()
    refused("BadDigest", s3.put_object, Bucket="plain", Key="behind", Body=io.BytesIO(b"x"), ChecksumAlgorithm="SHA256")
    wrong.digest = real
    assert s3.head_object(Bucket="plain", Key="behind")["ContentLength"] == 2 * MIB + 1


def locks():
    s3 = client()
    late = datetime.now(timezone.utc) + timedelta(days=1)
    later = late + timedelta(days=1)
    config = s3.get_object_lock_configuration(Bucket="locked")["ObjectLockConfiguration"]
    assert config["Rule"]["DefaultRetention"] == {"Mode": "GOVERNANCE", "Days": 3}
    version = s3.put_object(Bucket="locked", Key="default", Body=b"x")["VersionId"]
    assert s3.get_object_retention(Bucket="locked", Key="default")["Retention"]["Mode"] == "GOVERNANCE"
    refused("AccessDenied", s3.delete_object, Bucket="locked", Key="default", VersionId=version)
    assert s3.delete_object(Bucket="locked", Key="default")["DeleteMarker"]
    refused("AccessDenied", client("writer").delete_object, Bucket="locked", Key="default", VersionId=version, BypassGovernanceRetention=True)
    s3.delete_object(Bucket="locked", Key="default", VersionId=version, BypassGovernanceRetention=True)
    version = s3.put_object(
        Bucket="locked", Key="strict", Body=b"x", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=late
    )["VersionId"]
    refused("AccessDenied", s3.delete_object, Bucket="locked", Key="strict", VersionId=version, BypassGovernanceRetention=True)
    shorter = {"Mode": "COMPLIANCE", "RetainUntilDate": late - timedelta(hours=1)}
    refused("AccessDenied", s3.put_object_retention, Bucket="locked", Key="strict", Retention=shorter, BypassGovernanceRetention=True)
    s3.put_object_retention(Bucket="locked", Key="strict", Retention={"Mode": "COMPLIANCE", "RetainUntilDate": later})
    version = s3.put_object(Bucket="locked", Key="held", Body=b"x", ObjectLockLegalHoldStatus="ON")["VersionId"]
    s3.put_object_retention(
        Bucket="locked", Key="held", Retention={"Mode": "GOVERNANCE", "RetainUntilDate": late}, BypassGovernanceRetention=True
    )
    refused("AccessDenied", s3.delete_object, Bucket="locked", Key="held", VersionId=version, BypassGovernanceRetention=True)
    assert s3.get_object_legal_hold(Bucket="locked", Key="held")["LegalHold"]["Status"] == "ON"
    s3.put_object_legal_hold(Bucket="locked", Key="held", LegalHold={"Status": "OFF"})
    assert s3.head_object(Bucket="locked", Key="held")["ObjectLockMode"] == "GOVERNANCE"
    s3.delete_object(Bucket="locked", Key="held", VersionId=version, BypassGovernanceRetention=True)
    refused("InvalidRequest", s3.put_object, Bucket="plain", Key="x", Body=b"", ObjectLockLegalHoldStatus="ON")
    many = {"Objects": [{"Key": "strict", "VersionId": s3.head_object(Bucket="locked", Key="strict")["VersionId"]}]}
    assert s3.delete_objects(Bucket="locked", Delete=many)["Errors"][0]["Code"] == "AccessDenied"


def tags():
    s3 = client()
    s3.put_object(Bucket="plain", Key="t", Body=b"x", Tagging="a=1&b=%20two")
    found = s3.get_object_tagging(Bucket="plain", Key="t")["TagSet"]
    assert found == [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": " two"}], found
    s3.put_object_tagging(Bucket="plain", Key="t", Tagging={"TagSet": [{"Key": "c", "Value": "3"}]})
    assert s3.get_object(Bucket="plain", Key="t")["TagCount"] == 1
    s3.delete_object_tagging(Bucket="plain", Key="t")
    assert s3.get_object_tagging(Bucket="plain", Key="t")["TagSet"] == []
    many = {"TagSet": [{"Key": str(number), "Value": ""} for number in range(11)]}
    refused("InvalidTag", s3.put_object_tagging, Bucket="plain", Key="t", Tagging=many)


def policies():
    root, reader = client(), client("reader")
    for bucket in ["plain", "versioned"]:
        root.put_object(Bucket=bucket, Key="open/x", Body=b"x", Tagging="level=secret" if bucket == "versioned" else "")
        root.put_object(Bucket=bucket, Key="shut/x", Body=b"x")
    assert [bucket["Name"] for bucket in reader.list_buckets()["Buckets"]] == ["plain"]
    assert len(root.list_buckets()["Buckets"]) == 6
    assert reader.list_buckets()["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert body(reader, "plain", "open/x") == b"x"
    refused("AccessDenied", reader.get_object, Bucket="plain", Key="shut/x")
    refused("AccessDenied", reader.put_object, Bucket="plain", Key="open/y", Body=b"")
    refused("AccessDenied", reader.get_object, Bucket="versioned", Key="open/x")
    assert reader.list_objects_v2(Bucket="plain", Prefix="open/")["KeyCount"] == 1
    refused("AccessDenied", reader.list_objects_v2, Bucket="plain")
    refused("AccessDenied", reader.copy_object, Bucket="plain", Key="open/z", CopySource="plain/shut/x")
    assert reader.delete_objects(Bucket="plain", Delete={"Objects": [{"Key": "open/x"}]})["Errors"][0]["Code"] == "AccessDenied"
    nobody = client("nobody")
    assert nobody.list_buckets()["Buckets"] == []
    refused("AccessDenied", nobody.get_object, Bucket="plain", Key="open/x")
    tagged = client("tagged")
    refused("AccessDenied", tagged.get_object, Bucket="versioned", Key="open/x")
    assert body(tagged, "versioned", "shut/x") == b"x"
    own = client("writer")
    own.put_object(Bucket="plain", Key="home/writer/x", Body=b"x")
    refused("AccessDenied", own.put_object, Bucket="plain", Key="home/other/x", Body=b"x")
    # To write is one thing, to tag and to lock is another.
    refused("AccessDenied", own.put_object, Bucket="plain", Key="home/writer/x", Body=b"x", Tagging="a=b")
    refused("AccessDenied", own.put_object, Bucket="plain", Key="home/writer/x", Body=b"x", ObjectLockLegalHoldStatus="ON")


def authentication():
    s3 = client()
    s3.put_object(Bucket="plain", Key="p", Body=b"secret")
    s3.put_object(Bucket="public", Key="p", Body=b"open")
    refused("SignatureDoesNotMatch", client(secret="wrong").list_buckets)
    refused("InvalidAccessKeyId", client("absent").list_buckets)
    refused("InvalidAccessKeyId", client("disabled").list_buckets)
    assert urllib.request.urlopen(f"{ENDPOINT}/public/p").read() == b"open"
    for path in ["plain/p", "public", "public?list-type=2", ""]:
        try:
            urllib.request.urlopen(f"{ENDPOINT}/{path}")
            raise AssertionError(path)
        except urllib.error.HTTPError as error:
            assert error.code == 403 and b"<Code>AccessDenied</Code>" in error.read(), path
    old = client(signature_version="s3").generate_presigned_url("get_object", Params={"Bucket": "plain", "Key": "p"})
    try:
        urllib.request.urlopen(old)
        raise AssertionError(old)
    except urllib.error.HTTPError as error:
        assert error.code == 400, error
    import botocore.auth
    import botocore.crt.auth

    # With the CRT installed, it signs.
    signers = [botocore.auth, botocore.crt.auth]
    real = botocore.auth.get_current_datetime
    for signer in signers:
        signer.get_current_datetime = lambda *rest, **more: real(*rest, **more) - timedelta(hours=1)
    refused("RequestTimeTooSkewed", client().list_buckets)
    for signer in signers:
        signer.get_current_datetime = real


def quota():
    s3 = client()
    s3.put_object(Bucket="small", Key="a", Body=b"x" * 600_000)
    refused("QuotaExceeded", s3.put_object, Bucket="small", Key="b", Body=b"x" * 600_000)
    s3.put_object(Bucket="small", Key="a", Body=b"y" * 900_000)
    refused("QuotaExceeded", s3.copy_object, Bucket="small", Key="c", CopySource="small/a")
    s3.delete_object(Bucket="small", Key="a")
    s3.put_object(Bucket="small", Key="b", Body=b"x" * 600_000)


def mfa():
    s3 = client()
    version = s3.put_object(Bucket="versioned", Key="mfa", Body=b"x")["VersionId"]
    s3.delete_object(Bucket="versioned", Key="mfa")
    refused("AccessDenied", s3.delete_object, Bucket="versioned", Key="mfa", VersionId=version)
    refused("AccessDenied", s3.delete_object, Bucket="versioned", Key="mfa", VersionId=version, MFA="serial 000000")
    key = base64.b32decode("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
    digest = hmac.new(key, struct.pack(">Q", int(time.time()) // 30), "sha1").digest()
    code = struct.unpack(">I", digest[digest[19] & 15 :][:4])[0] & 0x7FFFFFFF
    s3.delete_object(Bucket="versioned", Key="mfa", VersionId=version, MFA=f"serial {code % 1_000_000:06}")
    refused("NoSuchVersion", s3.get_object, Bucket="versioned", Key="mfa", VersionId=version)


def encrypted():
    s3 = client()
    assert s3.get_bucket_encryption(Bucket="plain")
    for size in [10, 65536, 65537, 131072, 2 * MIB + 5]:
        data = os.urandom(size - 5) + b"NEEDLE"[:5]
        assert s3.put_object(Bucket="plain", Key=f"e{size}", Body=data)["ServerSideEncryption"] == "AES256"
        assert body(s3, "plain", f"e{size}") == data
        for begin in [0, 1, size // 2, size - 1]:
            assert body(s3, "plain", f"e{size}", Range=f"bytes={begin}-{begin + 70000}") == data[begin : begin + 70001]


def presigned():
    s3 = client(signature_version="s3v4")
    s3.put_object(Bucket="plain", Key="pre signed/ü", Body=b"presigned")
    print(s3.generate_presigned_url("get_object", Params={"Bucket": "plain", "Key": "pre signed/ü"}))
    print(s3.generate_presigned_url("put_object", Params={"Bucket": "plain", "Key": "by-curl"}))


def read_by_curl():
    assert body(client(), "plain", "by-curl") == b"from curl"


def minio():
    host = ENDPOINT.removeprefix("http://")
    s3 = Minio(host, access_key="root-key", secret_key="root-secret", secure=False)
    assert s3.bucket_exists("plain") and not s3.bucket_exists("absent")
    data = os.urandom(12 * MIB)
    s3.put_object("plain", "minio/big", io.BytesIO(data), -1, part_size=5 * MIB)
    s3.put_object("plain", "minio/small", io.BytesIO(b"small"), 5, metadata={"a": "b"})
    assert s3.get_object("plain", "minio/big").read() == data
    assert s3.get_object("plain", "minio/big", offset=100, length=50).read() == data[100:150]
    assert [item.object_name for item in s3.list_objects("plain", "minio/", recursive=True)] == ["minio/big", "minio/small"]
    assert s3.stat_object("plain", "minio/small").size == 5
    assert urllib.request.urlopen(s3.presigned_get_object("plain", "minio/small")).read() == b"small"
    s3.remove_object("plain", "minio/small")


def keep(count="50"):
    """Puts what `kept` finds again."""
    s3 = client()
    for number in range(int(count)):
        s3.put_object(Bucket="plain", Key=f"kept/{number}", Body=str(number).encode() * (number * 700))


def kept(count="50"):
    s3 = client()
    for number in range(int(count)):
        assert body(s3, "plain", f"kept/{number}") == str(number).encode() * (number * 700)


def torrent():
    """Puts at 200 connections until the server is gone; writes down what was acknowledged."""
    s3 = client(max_pool_connections=200, retries={"max_attempts": 0})

    def put(worker):
        acknowledged = []
        for number in range(10_000):
            key = f"torrent/{worker}/{number % 7}"
            data = hashlib.sha256(f"{worker} {number}".encode()).digest() * (1 + (worker * 37 + number * 101) % 3000)
            try:
                s3.put_object(Bucket="plain", Key=key, Body=data)
            except Exception:
                return acknowledged, (key, hashlib.md5(data).hexdigest())
            acknowledged.append((key, hashlib.md5(data).hexdigest()))
        return acknowledged, None

    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        for acknowledged, last in pool.map(put, range(200)):
            for key, digest in acknowledged:
                print("done", key, digest)
            if last:
                print("last", *last)


def whole():
    """Each acknowledged object is there as it was sent, or as a later put that was under way."""
    s3 = client()
    wanted = {}
    for line in sys.stdin:
        what, key, digest = line.split()
        if what == "done":
            wanted[key] = {digest}
        else:
            wanted.setdefault(key, {None}).add(digest)
    there = {item["Key"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket="plain") for item in page.get("Contents", [])}
    assert there <= wanted.keys()

    def check(pair):
        key, digests = pair
        if key not in there:
            assert None in digests, f"{key} is lost"
            return 0
        got = s3.get_object(Bucket="plain", Key=key)
        assert hashlib.md5(got["Body"].read()).hexdigest() in digests, f"{key} is not what was put"
        return got["ContentLength"] > 16 << 10

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        print(sum(pool.map(check, wanted.items())), len(there))


def full():
    """Fills the disk; what was acknowledged stays, and deletes make room again."""
    s3 = client()
    sizes = [3 * MIB, 9000]
    for size in sizes:
        number = 0
        while True:
            try:
                s3.put_object(Bucket="plain", Key=f"full/{size}/{number}", Body=bytes([number % 251]) * size)
            except ClientError as error:
                assert error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500, error
                assert error.response["Error"]["Code"] == "StorageFull", error
                break
            number += 1
            assert number < 5000, "the disk is not small"
        assert number > 3 or size == sizes[1]
    items = [item for page in s3.get_paginator("list_objects_v2").paginate(Bucket="plain") for item in page["Contents"]]
    for item in items:
        data = body(s3, "plain", item["Key"])
        assert len(data) == item["Size"] and len(set(data)) == 1
    for at in range(0, len(items), 1000):
        s3.delete_objects(Bucket="plain", Delete={"Objects": [{"Key": item["Key"]} for item in items[at : at + 1000]]})
    for _ in range(50):
        try:
            s3.put_object(Bucket="plain", Key="after", Body=b"x" * MIB)
            return
        except ClientError:
            time.sleep(0.2)
    raise AssertionError("there is no room after all was deleted")


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
