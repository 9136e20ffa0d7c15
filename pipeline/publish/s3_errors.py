"""Errors of boto3 and of S3 servers in words that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .errors import PublishError

_CREDENTIALS = "check the access key and its secret: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or --profile"
_PERMISSIONS = "the credentials need s3:GetObject, s3:PutObject and s3:ListBucket here, and s3:DeleteObject to prune"
_AGAIN = "publish again later: files that were sent are not sent twice"
_ROOM = "ask for more, or free some with --prune; the published bundle is as it was"

# By code of an S3 answer: the problem and its remedy.
_ANSWERS = {
    "InvalidAccessKeyId": ("the server does not know this access key", _CREDENTIALS),
    "SignatureDoesNotMatch": ("the secret does not belong to the access key", _CREDENTIALS),
    "ExpiredToken": ("the credentials have expired", "sign in again"),
    "InvalidToken": ("the session token is not valid", "sign in again"),
    "AccessDenied": ("the server denies access", _PERMISSIONS),
    "AllAccessDisabled": ("the server denies access", _PERMISSIONS),
    "403": ("the server denies access", _PERMISSIONS),
    "RequestTimeTooSkewed": ("the clock of this machine differs too much from the server's", "set the clock"),
    "RequestExpired": ("the clock of this machine differs too much from the server's", "set the clock"),
    "QuotaExceeded": ("the quota of the bucket or user is used up", _ROOM),
    "InsufficientStorage": ("the server has no room left", _ROOM),
    "InsufficientCapacity": ("the server has no room left", _ROOM),
    "XMinioStorageFull": ("the server has no room left", _ROOM),
    "507": ("the server has no room left", _ROOM),
    "TooManyBuckets": ("the quota of the user is used up", _ROOM),
    "EntityTooLarge": ("the file is larger than the server allows", ""),
    "BadDigest": ("the file was damaged on its way", _AGAIN),
    "XAmzContentSHA256Mismatch": ("the file was damaged on its way", _AGAIN),
    "SlowDown": ("the server is overloaded", "publish again with fewer --jobs: files that were sent are kept"),
    "ServiceUnavailable": ("the server is not available", _AGAIN),
    "InternalError": ("the server failed", _AGAIN),
    "PermanentRedirect": ("the bucket is in another region", "give its region with --region"),
    "AuthorizationHeaderMalformed": ("the bucket is in another region", "give its region with --region"),
    "IllegalLocationConstraintException": ("the bucket is in another region", "give its region with --region"),
    "ConditionalRequestConflict": ("other writes of the same file were under way", "publish again"),
}


def answer_code(error: Any) -> str:
    """The code of an answer of the server, such as NoSuchKey; the number of the HTTP status without one."""
    answer = getattr(error, "response", {})
    code = str(answer.get("Error", {}).get("Code", ""))
    return code or str(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))


@contextmanager
def clear_errors(place: str, bucket: str, endpoint_url: str | None) -> Iterator[None]:
    """Turn the errors of boto3 into PublishError. place: the object or target, as messages name it."""
    try:
        yield
    except Exception as error:
        # boto3 is loaded only if it is used, and errors of other code have other types.
        if not type(error).__module__.startswith(("botocore", "boto3")):
            raise
        problem, remedy = _explain(error, bucket, endpoint_url)
        raise PublishError(problem, place=place, remedy=remedy) from error


def _explain(error: Exception, bucket: str, endpoint_url: str | None) -> tuple[str, str]:
    """Problem and remedy of an error of boto3."""
    from botocore import exceptions as boto

    server = endpoint_url or "the S3 server"
    match error:
        case boto.ClientError():
            return _explain_answer(error, bucket)
        case boto.NoCredentialsError() | boto.PartialCredentialsError() | boto.CredentialRetrievalError():
            return "there are no credentials", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give --profile"
        case boto.ProfileNotFound():
            return str(error), "see the names in ~/.aws/config"
        case boto.TokenRetrievalError() | boto.SSOTokenLoadError() | boto.UnauthorizedSSOTokenError():
            return "the session of the profile has ended", "sign in again: aws sso login"
        case boto.SSLError():
            return f"{server} has no certificate that this machine trusts", "check the address in --endpoint-url"
        case boto.ConnectTimeoutError() | boto.ReadTimeoutError() | boto.ConnectionClosedError():
            return f"{server} does not answer", f"check the network; {_AGAIN}"
        case boto.HTTPClientError() | boto.ConnectionError():
            return f"cannot connect to {server}", f"check the network and --endpoint-url; {_AGAIN}"
        case boto.InvalidRegionError() | boto.NoRegionError():
            return str(error), "give the region with --region"
    return str(error) or type(error).__name__, ""


def _explain_answer(error: Any, bucket: str) -> tuple[str, str]:
    code = answer_code(error)
    if code in ("NoSuchBucket", "404"):
        return f"there is no bucket {bucket}", "create it first, or check name, --endpoint-url and --profile"
    if code in _ANSWERS:
        return _ANSWERS[code]
    message = error.response.get("Error", {}).get("Message") or code
    return f"the server refuses: {code} {message}" if message != code else f"the server refuses: {code}", ""
