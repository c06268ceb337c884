"""Jupyter notebooks among the pages: their cells are run from top to bottom, as programs, without Jupyter.

An output is what a cell prints, and the display of its last expression: text, and HTML if the object has `_repr_html_`.
"""

import ast
import contextlib
import io
import json
from pathlib import Path
from typing import Any

from tests.documents.blocks import ROOT

NOTEBOOKS = sorted((ROOT / "docs").glob("*.ipynb"))


def ran(text: str) -> str:
    """Return a notebook whose outputs are those of a run in this process.

    Raises:
        Exception: A cell failed.
    """
    notebook = json.loads(text)
    names: dict[str, Any] = {"__name__": "__main__"}
    number = 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            number += 1
            cell["execution_count"] = number
            cell["outputs"] = _outputs("".join(cell["source"]), names, number)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def _outputs(source: str, names: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """Run one cell. The value of its last statement is displayed if that is an expression with a value."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    value = None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, f"cell {number}", "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names)
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        text = printed.getvalue().splitlines(keepends=True)
        outputs.append({"name": "stdout", "output_type": "stream", "text": text})
    if value is not None:
        data = {"text/plain": [repr(value)]}
        if hasattr(value, "_repr_html_"):
            data["text/html"] = value._repr_html_().splitlines(keepends=True)
        outputs.append({"data": data, "execution_count": number, "metadata": {}, "output_type": "execute_result"})
    return outputs


def markdown(text: str) -> str:
    """Return a notebook with its outputs as a page of the site."""
    parts: list[str] = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            if output["output_type"] == "stream":
                parts.append(f"```text\n{''.join(output['text'])}```")
            elif html := output["data"].get("text/html"):
                parts.append(f"````{{raw}} html\n{''.join(html)}\n````")
            else:
                parts.append(f"```text\n{''.join(output['data']['text/plain'])}\n```")
    return "\n\n".join(parts) + "\n"


def written(path: Path) -> bool:
    """Run a notebook and write its outputs anew; return whether they have changed."""
    before = path.read_text()
    path.write_text(ran(before))
    return path.read_text() != before
