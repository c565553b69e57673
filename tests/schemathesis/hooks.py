"""What schemathesis must not do: ask for more bytes than a test has time for. The description allows a TiB."""
import schemathesis


@schemathesis.hook
def filter_case(context, case):
    count = str((case.query or {}).get("count", 0))
    return case.path != "/bytes" or not count.lstrip("-").isdigit() or int(count) <= 1 << 24
