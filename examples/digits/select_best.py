"""Hands on the better model, and says whether it is good enough to be deployed."""

import argparse
import shutil
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--best", required=True)
    parser.add_argument("--accuracy", type=float, required=True)
    parser.add_argument("--required", type=float, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()

    shutil.copytree(options.models / options.best, options.output / "model")
    good = options.accuracy >= options.required
    (options.output / "should_deploy.txt").write_text("true\n" if good else "false\n")
    relation = "reaches" if good else "misses"
    print(f"{options.best}: accuracy {options.accuracy:.4f} {relation} the required {options.required:.4f}")


if __name__ == "__main__":
    main()
