"""What the guides show is good as it stands there."""

import re
from pathlib import Path

import pytest
from stepguard_policy.documents import load_paths

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
ISSUERS = [
    text for text in BLOCK.findall((GUIDES / "authorization-servers.md").read_text()) if "kind: TokenIssuer" in text
]


@pytest.mark.parametrize("text", ISSUERS, ids=lambda text: text.partition("name: ")[2].partition("}")[0])
def test_a_token_issuer_of_the_guide_has_no_problem(text: str, tmp_path: Path) -> None:
    (tmp_path / "issuer.yaml").write_text(text)
    assert load_paths([tmp_path]).problems == ()


def test_the_guide_shows_token_issuers() -> None:
    assert len(ISSUERS) >= 4
