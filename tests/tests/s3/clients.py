"""What clients do with an S3 instance: `clients.py SCENARIO ARGUMENTS...`, told where by the environment."""

import base64
import concurrent.futures
import hashlib
import hmac
import io
import os
import signal
import struct
import sys
import threading
import time
from datetime import timedelta

import boto3
import botocore.auth
import botocore.crt.auth
import minio
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINT = os.environ["S3_ENDPOINT"]


def client(key=None, secret=None, **config):
    config.setdefault("retries", {"max_attempts": 1})
    config = Config(signature_version="s3v4", s3={"addressing_style": "path"}, **config)
    return boto3.client(
        "s3", endpoint_url=ENDPOINT, aws_access_key_id=key, aws_secret_access_key=secret, config=config
    )


def refused(code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        found = error.response["Error"]["Code"]
        assert found == code, f"expected {code}, found {error}"
        return
    raise AssertionError(f"expected {code}, and it was done")


def objects(bucket):
    """Put, get, list, delete, a large one in parts, a version brought back."""
    s3 = client()
    for number in range(3):
        s3.put_object(Bucket=bucket, Key=f"folder/{number}", Body=f"text {number}".encode())
    assert s3.get_object(Bucket=bucket, Key="folder/1")["Body"].read() == b"text 1"
    listed = s3.list_objects_v2(Bucket=bucket, Prefix="folder/")
    assert [one["Key"] for one in listed["Contents"]] == ["folder/0", "folder/1", "folder/2"], listed
    s3.delete_object(Bucket=bucket, Key="folder/1")
    refused("NoSuchKey", s3.get_object, Bucket=bucket, Key="folder/1")

    content = os.urandom(64 << 20)
    parts = TransferConfig(multipart_threshold=8 << 20, multipart_chunksize=8 << 20)
    s3.upload_fileobj(io.BytesIO(content), bucket, "large", Config=parts)
    back = io.BytesIO()
    s3.download_fileobj(bucket, "large", back, Config=parts)
    assert hashlib.sha256(back.getvalue()).digest() == hashlib.sha256(content).digest()

    s3.put_object(Bucket=bucket, Key="letter", Body=b"first")
    s3.put_object(Bucket=bucket, Key="letter", Body=b"second")
    s3.delete_object(Bucket=bucket, Key="letter")
    refused("NoSuchKey", s3.get_object, Bucket=bucket, Key="letter")
    versions = s3.list_object_versions(Bucket=bucket, Prefix="letter")["Versions"]
    oldest = versions[-1]["VersionId"]
    source = {"Bucket": bucket, "Key": "letter", "VersionId": oldest}
    s3.copy_object(Bucket=bucket, Key="letter", CopySource=source)
    assert s3.get_object(Bucket=bucket, Key="letter")["Body"].read() == b"first"


def impostors(bucket):
    """Wrong secret, unknown key, a clock that is twenty minutes late."""
    refused("SignatureDoesNotMatch", client(os.environ["AWS_ACCESS_KEY_ID"], "x" * 40).list_objects_v2, Bucket=bucket)
    refused("InvalidAccessKeyId", client("NOBODY0000000000000A", "x" * 40).list_objects_v2, Bucket=bucket)
    now = botocore.auth.get_current_datetime
    # With awscrt installed the second of them signs.
    signers = [botocore.auth, botocore.crt.auth]
    for signer in signers:
        signer.get_current_datetime = lambda *a, **k: now(*a, **k) - timedelta(minutes=20)
    try:
        refused("RequestTimeTooSkewed", client().list_objects_v2, Bucket=bucket)
    finally:
        for signer in signers:
            signer.get_current_datetime = now


def presign(bucket, key):
    s3 = client()
    s3.put_object(Bucket=bucket, Key=key, Body=b"for whoever has the link")
    print(s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": key}, ExpiresIn=60))


def one_bucket(allowed, other):
    """A user whose policy names one bucket."""
    s3 = client()
    s3.put_object(Bucket=allowed, Key="own", Body=b"own")
    assert s3.list_objects_v2(Bucket=allowed)["KeyCount"] == 1
    assert s3.list_buckets()["ResponseMetadata"]["HTTPStatusCode"] == 200
    refused("AccessDenied", s3.list_objects_v2, Bucket=other)
    refused("AccessDenied", s3.put_object, Bucket=other, Key="own", Body=b"own")


def condition(bucket):
    """A user who may write only below its own prefix, and from this machine."""
    s3 = client()
    s3.put_object(Bucket=bucket, Key="reports/a", Body=b"a")
    assert s3.list_objects_v2(Bucket=bucket, Prefix="reports/")["KeyCount"] == 1
    refused("AccessDenied", s3.list_objects_v2, Bucket=bucket, Prefix="other/")
    refused("AccessDenied", s3.get_object, Bucket=bucket, Key="reports/a")


def denied(code, bucket):
    refused(code, client().list_objects_v2, Bucket=bucket)


def works(bucket):
    client().list_objects_v2(Bucket=bucket)


def quota(bucket, refusal):
    s3 = client()
    s3.put_object(Bucket=bucket, Key="fits", Body=b"x" * 900)
    refused(refusal, s3.put_object, Bucket=bucket, Key="more", Body=b"x" * 200)
    s3.delete_object(Bucket=bucket, Key="fits")
    s3.put_object(Bucket=bucket, Key="more", Body=b"x" * 200)


def locked(bucket):
    s3 = client()
    made = s3.put_object(Bucket=bucket, Key="entry", Body=b"1")
    refused("AccessDenied", s3.delete_object, Bucket=bucket, Key="entry", VersionId=made["VersionId"])


def otp(secret):
    """A one-time password as RFC 6238 makes it."""
    counter = struct.pack(">Q", int(time.time()) // 30)
    digest = hmac.new(base64.b32decode(secret), counter, hashlib.sha1).digest()
    offset = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[offset:offset + 4])[0] & 0x7FFFFFFF) % 1000000:06}"


def mfa(bucket, secret):
    s3 = client()
    made = s3.put_object(Bucket=bucket, Key="twice", Body=b"1")
    version = {"Bucket": bucket, "Key": "twice", "VersionId": made["VersionId"]}
    refused("AccessDenied", s3.delete_object, **version)
    s3.delete_object(MFA=f"arn:aws:iam::0:mfa/any {otp(secret)}", **version)


def until(holds):
    for _ in range(300):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError("it does not come")


def changed(bucket):
    """Versioning and encryption that were just switched on."""
    s3 = client()
    until(lambda: "VersionId" in s3.put_object(Bucket=bucket, Key="changed", Body=b"1"))
    until(lambda: s3.put_object(Bucket=bucket, Key="changed", Body=b"2").get("ServerSideEncryption") == "AES256")


def shut_out(bucket):
    """A key that was just disabled."""
    def is_refused():
        try:
            client().list_objects_v2(Bucket=bucket)
        except ClientError as error:
            return error.response["Error"]["Code"] == "InvalidAccessKeyId"
        return False
    until(is_refused)


def count(bucket, number):
    found = client().list_objects_v2(Bucket=bucket)["KeyCount"]
    assert found == int(number), found


def written(key):
    """What every object of `torrent` and `steady` holds, by its key."""
    digest = hashlib.sha256(key.encode()).digest()
    return digest * (1 + int.from_bytes(digest[:2], "big") % 3000)


def torrent(bucket, server):
    """200 puts at once, in the middle of which the server is killed: what was acknowledged is there, and all is whole."""
    s3 = client(max_pool_connections=200, retries={"max_attempts": 0})
    acknowledged, once, is_dead = set(), threading.Lock(), threading.Event()

    def put(worker):
        number = 0
        while not is_dead.is_set():
            key = f"torrent/{worker}/{number}"
            try:
                s3.put_object(Bucket=bucket, Key=key, Body=written(key))
            except Exception as error:
                # A server may ask for patience, and has then acknowledged nothing.
                if isinstance(error, ClientError) and error.response["Error"]["Code"].startswith("SlowDown"):
                    time.sleep(0.2)
                    continue
                assert is_dead.is_set(), f"before the server was killed: {error}"
                return
            acknowledged.add(key)
            number += 1
            if len(acknowledged) >= 1000 and once.acquire(blocking=False):
                is_dead.set()
                os.kill(int(server), signal.SIGKILL)

    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        list(pool.map(put, range(200)))

    def answers():
        try:
            return s3.head_bucket(Bucket=bucket)
        except Exception:
            return False

    until(answers)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="torrent/")
    there = {one["Key"] for page in pages for one in page["Contents"]}
    assert len(acknowledged) >= 1000 and acknowledged <= there, acknowledged - there

    def check(key):
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == written(key), f"{key} is not whole"

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(check, there))


def steady(bucket, seconds):
    """Several at once put, read, list and delete for so long, and nothing fails."""
    s3 = client(retries={"max_attempts": 0})
    end = time.monotonic() + float(seconds)

    def work(worker):
        rounds = 0
        while time.monotonic() < end or rounds == 0:
            key = f"steady/{worker}/{rounds}"
            s3.put_object(Bucket=bucket, Key=key, Body=written(key))
            assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == written(key)
            assert s3.list_objects_v2(Bucket=bucket, Prefix=key)["KeyCount"] >= 1
            if rounds > 0:
                s3.delete_object(Bucket=bucket, Key=key)
            rounds += 1

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


def with_minio(bucket):
    """The same by the client of MinIO."""
    s3 = minio.Minio(
        ENDPOINT.removeprefix("http://"),
        access_key=os.environ["AWS_ACCESS_KEY_ID"],
        secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        secure=False,
    )
    content = os.urandom(12 << 20)
    s3.put_object(bucket, "minio/large", io.BytesIO(content), len(content), part_size=5 << 20)
    s3.put_object(bucket, "minio/small", io.BytesIO(b"small"), 5)
    assert s3.get_object(bucket, "minio/large").read() == content
    assert [one.object_name for one in s3.list_objects(bucket, "minio/")] == ["minio/large", "minio/small"]
    assert s3.stat_object(bucket, "minio/small").size == 5
    s3.remove_object(bucket, "minio/small")
    s3.remove_object(bucket, "minio/large")


scenario, arguments = sys.argv[1], sys.argv[2:]
globals()[scenario](*arguments)
