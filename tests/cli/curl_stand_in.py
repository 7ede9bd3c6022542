"""As much of ``curl`` as the README uses: a URL, ``-s``, ``-X``, ``-H`` and ``-d``."""

from __future__ import annotations

import argparse
import sys
import urllib.error
import urllib.request


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("-s", action="store_true")
    parser.add_argument("-X", dest="method")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="body")
    given = parser.parse_args()
    headers = dict(header.split(": ", 1) for header in given.headers)
    body = None if given.body is None else given.body.encode()
    request = urllib.request.Request(given.url, body, headers, method=given.method)
    try:
        with urllib.request.urlopen(request) as answer:
            sys.stdout.write(answer.read().decode())
    except urllib.error.HTTPError as answer:
        sys.stdout.write(answer.read().decode())


main()
