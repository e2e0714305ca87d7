"""Trains one variant of the model and writes it with its metrics."""

import argparse
import json
from pathlib import Path

import joblib
import numpy as np
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier

SEED = 20240229


def build(variant: str, learning_rate: float):
    """A classifier that learns one pass over the data at a time."""
    if variant == "perceptron":
        return MLPClassifier(
            hidden_layer_sizes=(64,), learning_rate_init=learning_rate, batch_size=32, random_state=SEED
        )
    return SGDClassifier(loss="log_loss", learning_rate="constant", eta0=learning_rate, random_state=SEED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--variant", choices=["perceptron", "linear"], required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    if options.epochs < 1:
        parser.error("--epochs must be at least 1")

    with np.load(options.data / "train.npz") as data:
        x, y = data["x"], data["y"]
    classes = np.unique(y)
    model = build(options.variant, options.lr)
    losses = []
    for epoch in range(1, options.epochs + 1):
        model.partial_fit(x, y, classes=classes)
        losses.append(float(log_loss(y, model.predict_proba(x), labels=classes)))
        print(f"{options.variant}: epoch {epoch} of {options.epochs}, loss {losses[-1]:.4f}", flush=True)

    folder = options.output / "model"
    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(model, folder / "model.joblib")
    about = {"variant": options.variant, "learning_rate": options.lr, "epochs": options.epochs}
    (folder / "about.json").write_text(json.dumps(about, indent=2) + "\n")
    metrics = {**about, "loss": losses, "train_accuracy": float(model.score(x, y))}
    (options.output / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    (options.output / "train_loss.txt").write_text(f"{losses[-1]:.6f}\n")


if __name__ == "__main__":
    main()
