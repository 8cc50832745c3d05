"""Runs every test beside it and prints what held, a line for each client."""

import collections
import pathlib
import sys
import unittest


class Counting(unittest.TextTestResult):
    """Counts by class."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.by_class = collections.defaultdict(collections.Counter)

    def count(self, test, what):
        test = getattr(test, "test_case", test)
        self.by_class[type(test).__name__][what] += 1

    def addSuccess(self, test):
        super().addSuccess(test)
        self.count(test, "passed")

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.count(test, "failed")

    def addError(self, test, error):
        super().addError(test, error)
        self.count(test, "failed")

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        self.count(test, "failed" if error else "passed")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.count(test, "skipped")
        print(f"SKIPPED: {test}: {reason}", file=sys.stderr)


def main():
    folder = pathlib.Path(__file__).parent
    found = unittest.defaultTestLoader.discover(str(folder), pattern="test_*.py")
    result = unittest.TextTestRunner(resultclass=Counting).run(found)
    print(f"\n{'client':<16}{'passed':>8}{'failed':>8}{'skipped':>9}")
    for name, counts in sorted(result.by_class.items()):
        print(f"{name:<16}{counts['passed']:>8}{counts['failed']:>8}{counts['skipped']:>9}")
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
