"""Scales scikit-learn's bundled digits and splits them: to train with, to choose with, and held out to score with."""

import argparse
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SEED = 20240229


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()

    digits = load_digits()
    images = digits.data.astype(np.float32) / 16.0  # a pixel is 0 to 16
    train_x, rest_x, train_y, rest_y = train_test_split(
        images, digits.target, test_size=0.4, random_state=SEED, stratify=digits.target
    )
    choose_x, held_x, choose_y, held_y = train_test_split(
        rest_x, rest_y, test_size=0.5, random_state=SEED, stratify=rest_y
    )

    options.output.mkdir(parents=True, exist_ok=True)
    parts = {"train": (train_x, train_y), "choose": (choose_x, choose_y), "held_out": (held_x, held_y)}
    for name, (x, y) in parts.items():
        np.savez(options.output / f"{name}.npz", x=x, y=y)
        print(f"{name}: {len(y)} images")
    (options.output.parent / "samples.txt").write_text(f"{len(images)}\n")


if __name__ == "__main__":
    main()
