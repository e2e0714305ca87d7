"""Loads what was deployed, checks that it is what its manifest says, and scores it on the held-out data."""

import argparse
import hashlib
import json
from pathlib import Path

import joblib
import numpy as np
from sklearn.metrics import accuracy_score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deployed", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()

    manifest = json.loads((options.deployed / "manifest.json").read_text())
    model = options.deployed / manifest["file"]
    if hashlib.sha256(model.read_bytes()).hexdigest() != manifest["sha256"]:
        raise SystemExit(f"{model} is not the file that its manifest describes")
    with np.load(options.data / "held_out.npz") as data:
        x, y = data["x"], data["y"]
    accuracy = accuracy_score(y, joblib.load(model).predict(x))
    print(f"{manifest['name']}: accuracy {accuracy:.4f} on {len(y)} held-out images")


if __name__ == "__main__":
    main()
