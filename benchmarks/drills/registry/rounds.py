"""Rounds of registrations at the same time, some killed -9 at a random moment and started again."""

import signal
import time

from benchmarks.drills.registry.drill import Drill, Entry, finished, start, verify, workplace
from benchmarks.drills.registry.folders import TEST_DATA


def drawn(drill: Drill, count: int) -> list[Entry]:
    """Models for a round: better or worse than all before, as good as the best, on other data, or twice the same."""
    best = min((entry.error for entry in drill.entries if entry.test_data == TEST_DATA), default=100.0)
    found: list[Entry] = []
    for _ in range(count):
        kind = drill.random.choice(("better", "better", "worse", "equal", "elsewhere", "twin"))
        seed = drill.random.randrange(1 << 30)
        if kind == "twin" and found:
            found.append(found[-1])
        elif kind == "elsewhere" and drill.entries:
            found.append(Entry(seed, best - 30, "u" * 32))
        else:
            step = {"better": -drill.random.randint(1, 9) / 10, "worse": drill.random.randint(1, 90) / 10}.get(kind, 0)
            found.append(Entry(seed, round(best + step, 3)))
    return found


def round_of(drill: Drill, number: int, count: int) -> None:
    """Register models at once; kill some, start those again, and check what is there."""
    alone, entries = number % 2 == 1, drawn(drill, count)
    folders = [workplace(drill, entry, f"round{number}-{n}") for n, entry in enumerate(entries)]
    drill.entries += [entry for n, entry in enumerate(entries) if entry not in entries[:n]]
    begun = time.monotonic()
    running = {folder: start(drill, "register", folder, alone=alone) for folder in folders}
    victims = [folder for folder in folders if drill.random.random() < 0.5]
    for folder in sorted(victims, key=lambda _: drill.random.random()):
        time.sleep(drill.random.uniform(0, drill.seconds / max(1, len(victims))))
        running[folder].kill()
        running[folder].join()
        if running[folder].exitcode == -signal.SIGKILL:
            drill.counts["killed -9"] += 1
            running[folder] = start(drill, "register", folder, alone=alone)
    outcomes = [finished(drill, folder, running[folder], alone) for folder in folders]
    drill.seconds = 0.7 * drill.seconds + 0.3 * (time.monotonic() - begun)
    drill.counts["rounds"] += 1
    drill.counts["registrations"] += count
    verify(drill, outcomes)
    champion = drill.shelf.state().alias
    where = "own machines" if alone else "one machine"
    took = f"{len(victims)} to kill, {time.monotonic() - begun:.0f} s"
    print(f"  round {number + 1}: {count} at once on {where}, {took}; champion {champion}", flush=True)
