"""Run a study of this project: the command `nbstudy`, with paths that begin here."""

from pathlib import Path

from nbstudy.command.main import main

if __name__ == "__main__":
    main(Path(__file__).parent, study="params/fashion_mnist.yaml")
