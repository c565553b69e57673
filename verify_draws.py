#!/usr/bin/env python3
"""Verifies a chain of draws, from docs/protocol.md, part 1, alone: it shares no code with the members.
Reads JSON lines from a file or standard input (-), or all draws of a member (http://127.0.0.1:8080). With --round and
--integers it then prints the integers that this draw decided (1.4), one a line.
Exit codes: 0 verified; 65 not verified; 64 wrong arguments; 74 the file can't be read; 75 the member can't be reached."""
import argparse, datetime, hashlib, hmac, http.client, itertools, json, re, struct, urllib.request
MOST_MISSED, DAY, EPOCH = 100000, 86400, datetime.datetime(1970, 1, 1)
class Broken(ValueError): """A rule by its name in docs/protocol.md, 1.3, and how it is broken."""
def need(rule, holds, detail):
    if not holds: raise Broken(f"{rule}: {detail}")
def lp(*parts):  # 1.1: each part after its length, numbers as 8 bytes, texts as their bytes
    raw = [part.to_bytes(8, "big") if type(part) is int else part.encode() if type(part) is str else part for part in parts]
    return b"".join(len(part).to_bytes(8, "big") + part for part in raw)
def hashed(algorithm, *parts): return hashlib.new(algorithm, lp(*parts)).hexdigest()
def canonical(value): return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
def span(voters): return range(voters) if type(voters) is int else range(int(voters.split("-")[0]), int(voters.split("-")[1]) + 1)
def majority(record, voters): return 2 * sum(item["ordinal"] in span(voters) for item in record["contributions"]) > len(span(voters))
def reveals_of(record): return [(item["ordinal"], bytes.fromhex(item["reveal"])) for item in record["contributions"] if item["reveal"]]
def unix(slot): return (datetime.datetime.strptime(slot, "%Y-%m-%dT%H:%M:%SZ") - EPOCH) // datetime.timedelta(seconds=1)

# Makers of checks, and what each member of a record may be (1.2)
def integer(low, high=2**53 - 1): return lambda value: type(value) is int and low <= value <= high
def text(pattern): return lambda value: type(value) is str and re.fullmatch(pattern, value, re.DOTALL) is not None
def nullable(check): return lambda value: value is None or check(value)
def many(most, members): return lambda value: type(value) is list and len(value) <= most and all(exactly(item, members) for item in value)
def exactly(value, members): return type(value) is dict and value.keys() == members.keys() and all(members[m](value[m]) for m in members)
HASH, ORDINAL, REASON = text("[0-9a-f]{64}"), integer(0, 1023), text("unpublished|unreachable|timeout|refused|invalid|ledger")
RANGE, INSTANT = text("[1-9][0-9]{0,3}-[1-9][0-9]{0,3}"), text("(?!9999)[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
CONTRIBUTION = {"member": text(".*"), "next_commitment": HASH, "ordinal": ORDINAL, "reveal": nullable(HASH)}
RECORD = {
    "schema": integer(1, 2), "set": text("[a-z0-9-]{1,52}"), "chain": text("[0-9a-f]{32}"), "round": integer(1), "schedule": text(".*"),
    "slot": lambda value: INSTANT(value) and unix(value) >= 0, "missed": integer(0, MOST_MISSED), "holder": text(r"[!#-\[\]-~]{1,253}"),
    "voters": lambda value: integer(1, 32)(value) or RANGE(value) and 1 <= len(span(value)) <= 32 and span(value)[-1] <= 1023,
    "fence": integer(1), "previous": nullable(HASH), "hash": HASH, "output": nullable(text("[0-9a-f]{128}")),
    "contributions": many(32, CONTRIBUTION), "missing": many(64, {"ordinal": ORDINAL, "reason": REASON})}
def parse(line):
    record = json.loads(line.decode())
    # This also notices a repeated member, of which `record` has one only.
    need("form", canonical(record).encode() + b"\n" == line, "it is not canonical JSON (RFC 8785) and a line feed")
    known = exactly(record, RECORD) and all(item["member"] == f"{record['set']}-{item['ordinal']}" for item in record["contributions"])
    known = known and (record["schema"] == 2) == (type(record["voters"]) is str)
    need("form", known, "it has not exactly the members of a record, each of its type and within its bounds, and members' names")
    return record
def cron_field(field, low, high):
    values = set()
    for item in field.split(","):
        match = re.fullmatch(r"(\*|([0-9]{1,2})(-([0-9]{1,2}))?)(/([0-9]{1,2}))?", item)
        known = match and (match[3] or not match[5] if match[2] else match[5] or field == "*")
        need("schedule", known, f"{item!r} is none of a number, a-b, a-b/n, */n")
        first, last, step = int(match[2] or low), int(match[4] or match[2] or high), int(match[6] or 1)
        need("schedule", low <= first <= last <= high and step, f"{item!r} is not within {low} to {high}")
        values.update(range(first, last + 1, step))
    return values
def slots_between(schedule, after, before):  # 1.3: instants strictly between two Unix times, at most 100000
    if period := re.fullmatch("@every ([1-9][0-9]{0,4})([smh])", schedule):
        every = int(period[1]) * {"s": 1, "m": 60, "h": 3600}[period[2]]
        need("schedule", every <= DAY, "the period is longer than 24 h")
        return max(0, min((before - 1) // every - after // every, MOST_MISSED))
    fields = schedule.split(" ")
    need("schedule", len(fields) == 5 and len(schedule) <= 256, "it is neither a period nor five fields")
    minutes, hours, days, months, weekdays = map(cron_field, fields, (0, 0, 1, 1, 0), (59, 23, 31, 12, 7))
    comes = fields[4] != "*" or any(min(days) <= (30 if month in (4, 6, 9, 11) else 29 if month == 2 else 31) for month in months)
    need("schedule", comes, "no month has such a day")
    enough = all if "*" in (fields[2], fields[4]) else any
    def on(date): return date.month in months and enough((date.day in days, {date.isoweekday(), date.isoweekday() % 7} & weekdays))
    span = ((day * DAY, EPOCH + datetime.timedelta(days=day)) for day in range((after + 1) // DAY, (before - 1) // DAY + 1))
    instants = (start + hour * 3600 + minute * 60 for start, date in span if on(date) for hour in hours for minute in minutes)
    return sum(itertools.islice((1 for instant in instants if after < instant < before), MOST_MISSED))
def check_alone(record):
    slot, number, reveals = unix(record["slot"]), record["round"], reveals_of(record)
    need("slot", slots_between(record["schedule"], slot - 1, slot + 1) == 1, f"{record['slot']} is no instant of {record['schedule']!r}")
    need("previous", (record["previous"] is None) == (number == 1), "it is null in round 1 and nowhere else")
    need("missed", number > 1 or record["missed"] == 0, "round 1 has no slot before it to count from")
    given, missing = ([item["ordinal"] for item in record[members]] for members in ("contributions", "missing"))
    ascending = sorted({*given}) + sorted({*missing}) == given + missing and not {*given} & {*missing}
    need("order", ascending, "the lists are not by ascending ordinal, or have one in common")
    need("reveal", number > 1 or not reveals, "nothing was committed to before round 1")
    need("majority", majority(record, record["voters"]), "fewer than a majority of its voters contributed")
    output = hashed("sha512", "random-generator/output/1", record["chain"], number, *itertools.chain(*reveals))
    need("output", record["output"] == (output if reveals else None), "it does not follow from the reveals")
    rest = canonical({name: value for name, value in record.items() if name != "hash"})
    need("hash", record["hash"] == hashed("sha256", "random-generator/record/1", rest), "it is not the hash of this record")
    return record
def check_after(before, record):
    for rule, expected in (("set", before["set"]), ("chain", before["chain"]), ("round", before["round"] + 1), ("previous", before["hash"])):
        need(rule, record[rule] == expected, f"{record[rule]} where {expected} belongs")
    need("slot", unix(before["slot"]) < unix(record["slot"]), f"{record['slot']} is not later than {before['slot']}")
    missed = slots_between(record["schedule"], unix(before["slot"]), unix(record["slot"]))
    need("missed", record["missed"] == missed, f"it says {record['missed']}, and {missed} lie between {before['slot']} and {record['slot']}")
    need("fence", record["fence"] >= before["fence"] + (record["holder"] != before["holder"]), f"{record['fence']} after {before['fence']}")
    committed = {item["ordinal"]: item["next_commitment"] for item in before["contributions"]}
    for ordinal, reveal in reveals_of(record):
        opens = committed.get(ordinal) == hashed("sha256", "random-generator/commitment/1", ordinal, reveal)
        need("reveal", opens, f"that of ordinal {ordinal} does not open a commitment of the record before")
    need("majority", majority(record, before["voters"]), "fewer than a majority of the voters of the record before contributed")
def integers(record, low, high, count, unique):  # 1.4: what the output of this record decides
    asked, swapped, values = lp("random-generator/integers/1", low % 2**64, high % 2**64, int(unique)), {}, []
    blocks = (hmac.digest(bytes.fromhex(record["output"]), asked + lp(number), "sha512") for number in itertools.count())
    words = itertools.chain.from_iterable(struct.unpack(">8Q", block) for block in blocks)
    for place in range(count):
        left = high - low + 1 - place * unique
        pick = place * unique + next(word % left for word in words if word < 2**64 - 2**64 % left)
        values.append(low + swapped.get(pick, pick))
        swapped[pick] = swapped.get(place, place) if unique else pick
    return values

def verify(lines, head=None, asked=None):
    first, last, count, outputs, missed, derived = None, None, 0, 0, 0, []
    for line in lines:  # bytes with their line feed; asked is a round, and what `integers` wants
        try:
            record = check_alone(parse(line))
            if last: check_after(last, record)
        except (ValueError, RecursionError) as error:
            raise Broken(f"line {count + 1}: {error if isinstance(error, Broken) else f'form: {error}'}") from None
        if asked and record["output"] and record["round"] == asked[0]: derived = integers(record, *asked[1:])
        outputs, missed = outputs + bool(record["output"]), missed + (record["missed"] if last else 0)
        first, last, count = first or record, record, count + 1
    need("empty", last, "there is no record")
    need("head", head in (None, last["hash"]), f"the last record is {last['hash']}, not {head}")
    before = f" (what lies before round {first['round']} was not judged)" if first["round"] > 1 else ""
    need("drawn", derived or not asked, "there is no record of this round here that has an output")
    return [f"verified: set {last['set']}, chain {last['chain']}, rounds {first['round']} to {last['round']}{before}: "
            f"{count} records, {outputs} outputs, {missed} slots missed, head {last['hash']}", *derived]
def from_stream(stream): return iter(lambda: stream.readline(65538), b"")
def like(pattern): return lambda given: re.fullmatch(pattern, given)[0]  # argparse makes a wrong argument of a TypeError
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.error = lambda message: parser.exit(64, f"{parser.prog}: {message.replace('invalid <lambda>', 'a wrong')}\n")
    parser.add_argument("source", nargs="?", default="-", metavar="FILE|-|URL")
    parser.add_argument("--head", type=like("[0-9a-f]{64}"), metavar="HASH", help="the hash that the last record must have")
    parser.add_argument("--round", type=like("[1-9][0-9]{0,15}"), help="the draw that --integers are derived from")
    parser.add_argument("--integers", type=like("-?[0-9]{1,19}[.][.]-?[0-9]{1,19}"), metavar="MIN..MAX", help="both ends are included")
    parser.add_argument("--count", type=like("[1-9][0-9]{0,4}"), default="1", help="how many integers")
    parser.add_argument("--unique", action="store_true", help="no integer twice")
    source, head, number, ends, count, unique = vars(parser.parse_args()).values()
    low, high = map(int, ends.split("..")) if ends else (1, 1)
    most = min(10000, high - low + 1 if unique else 10000)
    if (number is None) != (ends is None) or not (-2**63 <= low <= high < 2**63 and int(count) <= most and int(number or 1) < 2**53):
        parser.error("--integers wants --round, MIN at most MAX, 64 bits, and a count of 1 to 10000, with --unique no more than there are")
    remote = re.match("https?://", source)
    try:  # without `from` and `limit`, a member gives all that it keeps
        stream = urllib.request.urlopen(source.rstrip("/") + "/draws?format=jsonl", timeout=10) if remote else open(0 if source == "-" else source, "rb")
        print(*verify(from_stream(stream), head, number and (int(number), low, high, int(count), unique)), sep="\n")
    except Broken as broken:
        parser.exit(65, f"not verified: {broken}\n")
    except (OSError, ValueError, http.client.HTTPException) as error:
        parser.exit(75 if remote else 74, f"{source}: {error}\n")
if __name__ == "__main__": main()
