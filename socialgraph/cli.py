"""The command line: ``socialgraph fit | validate | test | predict | stream``."""

import difflib
import re
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import torch
import yaml
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback

from socialgraph import stream_cli
from socialgraph.data import TrafficDataModule
from socialgraph.forecaster import Forecaster
from socialgraph.schema import read_vdids
from socialgraph.writers import ErrorWriter, ForecastWriter

__all__ = ["ForecastCLI", "main"]


class SuggestingParser(LightningArgumentParser):
    """Parser that answers an unknown key with the known keys that look like it."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, allow_abbrev=False, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """End with ``message`` and suggestions, exit status 2."""
        if "Did you mean" not in message:
            message += _suggest(message, getattr(ex, "subcommand_parser", None) or self)
        super().error(message, ex)


class ConfigInCheckpoint(SaveConfigCallback):
    """Saves the configuration of a training beside its logs, and in every checkpoint."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write ``config.yaml`` beside the logs, in ``fit`` and where there are logs."""
        if stage == "fit" and trainer.logger is not None:
            super().setup(trainer, pl_module, stage)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict
    ) -> None:
        """Add ``config``: the sections ``model`` and ``data`` as YAML."""
        config = yaml.safe_load(self.parser.dump(self.config, skip_none=False))
        checkpoint["config"] = yaml.safe_dump({k: config[k] for k in ("model", "data")})


class ForecastCLI(LightningCLI):
    """LightningCLI with sizes that are written once, in the ``data`` section."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Link the network's sizes to the data, and add the writers of results."""
        network = "model.network.init_args"
        parser.link_arguments("data.features", f"{network}.in_channels", compute_fn=len)
        parser.link_arguments("data.num_targets", f"{network}.out_channels")
        parser.link_arguments("data.horizon", f"{network}.horizon")
        parser.link_arguments("data.max_radius", f"{network}.pooling.init_args.max_radius")
        parser.add_lightning_class_args(ErrorWriter, "errors")
        parser.add_lightning_class_args(ForecastWriter, "forecast")

    def before_instantiate_classes(self) -> None:
        """Tell a network that asks for it which detectors there are.

        They come from the file, unless they are given, as they are in a checkpoint.
        """
        config = self.config.get(str(self.subcommand), self.config)
        network = config.model.network.get("init_args", {})
        if "vd_ids" in network and not network.vd_ids:
            network.vd_ids = read_vdids(config.data.path)
        if network.get("node_channels") and not network.get("num_nodes", True):
            network.num_nodes = len(read_vdids(config.data.path))

    def before_predict(self) -> None:
        """Keep no forecasts in memory: the writer has them."""
        self.config_init["predict"]["return_predictions"] = False


def main(args: Sequence[str] | None = None) -> None:
    """Run a subcommand of the Trainer on a :class:`Forecaster` and a :class:`TrafficDataModule`.

    ``validate``, ``test`` and ``predict`` take ``model`` and ``data`` from the checkpoint of
    ``--ckpt_path`` where it holds them; what the command line says goes before it. ``stream`` is
    :mod:`socialgraph.stream_cli`.

    Args:
        args: words of the command line; None for those of this process.
    """
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    words = list(sys.argv[1:] if args is None else args)
    if words[:1] == ["stream"]:
        stream_cli.main(words[1:])
        return
    with tempfile.TemporaryDirectory() as folder:
        ForecastCLI(
            Forecaster,
            TrafficDataModule,
            save_config_callback=ConfigInCheckpoint,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={
                "description": "Train and apply traffic forecasters. Besides the subcommands below "
                "there is 'stream', which follows readings as they come: socialgraph stream --help",
                **_defaults_from_checkpoint(words, Path(folder)),
            },
            parser_class=SuggestingParser,
            auto_configure_optimizers=False,
            args=args,
        )


def _defaults_from_checkpoint(args: list[str], folder: Path) -> dict:
    words = [word for arg in args for word in arg.split("=", 1)]
    if "--ckpt_path" not in words[1:-1] or words[0] not in ("validate", "test", "predict"):
        return {}
    path = Path(words[words.index("--ckpt_path") + 1])
    if not path.is_file():
        sys.exit(f"error: --ckpt_path: no file '{path}'.")
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    if "config" not in checkpoint:
        return {}
    config = folder / "checkpoint.yaml"
    config.write_text(checkpoint["config"] + "trainer:\n  logger: false\n")
    return {words[0]: {"default_config_files": [str(config)]}}


def _suggest(message: str, parser: LightningArgumentParser) -> str:
    known = {part for action in parser._actions for part in str(action.dest).split(".")}
    for first, second in re.findall(r"[Oo]ption '([\w.]+)'|--([\w.]+)", message):
        word = (first or second).rsplit(".", 1)[-1]
        close = difflib.get_close_matches(word, known - {word}, n=3)
        if close:
            return f"\nDid you mean {' or '.join(map(repr, close))}?"
    return ""
