"""Puts the model where it is served from, with a manifest that tells what it is."""

import argparse
import hashlib
import json
import shutil
from pathlib import Path

import sklearn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()

    options.output.mkdir(parents=True, exist_ok=True)
    served = Path(shutil.copy(options.model / "model.joblib", options.output / "model.joblib"))
    manifest = {
        "name": options.name,
        "file": served.name,
        "sha256": hashlib.sha256(served.read_bytes()).hexdigest(),
        "scikit-learn": sklearn.__version__,
        **json.loads((options.model / "about.json").read_text()),
    }
    (options.output / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    print(f"deployed {options.name} ({manifest['variant']}), sha256 {manifest['sha256'][:12]}")


if __name__ == "__main__":
    main()
