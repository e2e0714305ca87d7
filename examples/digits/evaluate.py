"""Compares the trained models on data that neither has seen, and names the better one."""

import argparse
import json
from pathlib import Path

import joblib
import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()

    with np.load(options.data / "choose.npz") as data:
        x, y = data["x"], data["y"]
    report = {}
    for folder in sorted(options.models.iterdir()):
        predicted = joblib.load(folder / "model.joblib").predict(x)
        report[folder.name] = {
            **json.loads((folder / "about.json").read_text()),
            "accuracy": float(accuracy_score(y, predicted)),
            "f1": float(f1_score(y, predicted, average="macro")),
            "confusion": confusion_matrix(y, predicted).tolist(),
        }
        print(f"{folder.name} ({report[folder.name]['variant']}): accuracy {report[folder.name]['accuracy']:.4f}")

    best = max(report, key=lambda name: report[name]["accuracy"])
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    (options.output / "best_model.txt").write_text(best + "\n")
    (options.output / "accuracy.txt").write_text(f"{report[best]['accuracy']:.6f}\n")


if __name__ == "__main__":
    main()
