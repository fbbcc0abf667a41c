"""What samples and members are called in a log.

The rule here: an id stands in a log as it is if it can be part of a member's name anywhere; one that cannot (it would
leave its folder, is too long for a file system, holds a control character, or looks as if it had been changed here) is
replaced by a readable part and a hash, so that two ids never share a name. Readers look a sample up by `member_name`
of its id in the log. Source: `_sample_filename` and its callers in inspect_ai 0.3.285.
"""

import hashlib
import re

START = "_journal/start.json"
JOURNAL = "_journal/summaries/"
SAMPLES = "samples/"
SUMMARIES, REDUCTIONS, HEADER = "summaries.json", "reductions.json", "header.json"

# Most file systems take names of 255 bytes; `_epoch_1000000.json` and some room are left.
LONGEST = 220
_READABLE = 40
_CHANGED = re.compile(r"~[0-9a-f]{20}$")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\\\u2028\u2029]|^/|^\.{1,2}(/|$)|/(\.{0,2})(/|$)|^$")
_JOURNAL_NAME = re.compile(re.escape(JOURNAL) + r"([1-9][0-9]{0,15})\.json")
_NOT_READABLE = re.compile(r"[^\w.-]+")


def log_id(sample_id: str) -> str:
    """What the sample is called in a log."""
    try:
        length = len(sample_id.encode())
    except UnicodeEncodeError:
        length = LONGEST + 1
    if length <= LONGEST and not _UNSAFE.search(sample_id) and not _CHANGED.search(sample_id):
        return sample_id
    digest = hashlib.blake2b(sample_id.encode("utf-8", "surrogatepass"), digest_size=10).hexdigest()
    readable = _NOT_READABLE.sub("-", sample_id.encode("ascii", "ignore").decode())[:_READABLE].strip("-.")
    return f"{readable or 'sample'}~{digest}"


def member_name(sample_id: str, epoch: int) -> str:
    """Where a log holds the sample of this id (as it is in the log)."""
    return f"{SAMPLES}{sample_id}_epoch_{epoch}.json"


def journal_name(number: int) -> str:
    """Where a log holds the summaries that were published with the number-th batch, from 1."""
    return f"{JOURNAL}{number}.json"


def journal_number(name: str) -> int | None:
    """The number of that batch; None if the member holds no summaries."""
    number = _JOURNAL_NAME.fullmatch(name)
    return int(number[1]) if number else None
