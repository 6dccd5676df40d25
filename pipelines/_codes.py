"""Both codes of contrastive analysis, back from an export."""

from pathlib import Path

from medssl.config.component import build, recall
from medssl.errors import DataError
from medssl.models.codes import Codes
from medssl.models.export import load_part, read_card

PART = "salient_code"


def restore_codes(export: Path) -> Codes:
    """Return the codes that an export holds, in evaluation mode.

    Raises:
        DataError: If it holds none.
    """
    card = read_card(export)
    if PART not in card["parts"] or "method" not in card:
        msg = (
            f"{export} holds no codes, only {card['parts']}; give what `pretrain` wrote by a "
            "method that has two, such as contrastive_analysis"
        )
        raise DataError(msg)
    encoder = build(recall("medssl.models.encoders", card["encoder"]))
    method = build(recall("medssl.methods", card["method"]), encoder)
    for part, module in method.exports().items():
        load_part(export, part, module)
    codes: Codes = method.codes().eval()
    return codes
