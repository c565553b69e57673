"""Asks verify_draws.py for its verdict on many lists in one process: each line of standard input is a list in hexadecimal and a head,
and may have after it a round and the integers that are asked of it: least, greatest, how many, and 1 if without repetition."""
import io, pathlib, sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))
sys.dont_write_bytecode = True
import verify_draws

for line in sys.stdin:
    hexadecimal, head, *asked = line.rstrip("\n").split(" ")
    try:
        lines = verify_draws.from_stream(io.BytesIO(bytes.fromhex(hexadecimal)))
        print(*verify_draws.verify(lines, None if head == "-" else head, [int(number) for number in asked]), sep="\t")
    except verify_draws.Broken as broken:
        print(str(broken).split("\n")[0])
