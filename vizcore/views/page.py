"""The hosts of a browser view other than the app: a notebook and a stand-alone HTML file.

A view is written as several ES modules, but both a page that is one file and a Streamlit
component take one text, so `script` joins them: each module becomes a function that runs once and
returns its exports, in the order of their imports. It knows just the forms of import and export
that the views use, and refuses others; it is no bundler. To show a view in Streamlit, hand
`script(name)`, `style(name)` and `View.data` to a component (app/mount.py does).
"""

import html
import json
import re
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent

_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([\w]+)\.js";?$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?:(async function|function|const|class) (\w+))", re.MULTILINE)
_DEFAULT = re.compile(r"^export default (?:(?:async )?function )?(\w+)", re.MULTILINE)
_COMMENT = re.compile(r"^[ \t]*(?://.*|/\*(?:(?!\*/)[\s\S])*\*/[ \t]*)\n", re.MULTILINE)
_LAST_LINE = "export default view;\n"
_ANY = re.compile(r"^\s*(?:import|export)\b.*$", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class View:
    """A picture of maps that a browser draws.

    A notebook shows it as it is (`_repr_html_`), `to_html()` is a complete page for a file; both
    need no internet. `data`, `js` and `css` are what other hosts take.

    Args:
        name: which view: "model_view".
        title: one line for people.
        data: JSON-able; what the view's module gets.
        js: the text of one ES module, `export default ({ el, data, select }) => cleanup`.
        css: its style sheet.
    """

    name: str
    title: str
    data: dict[str, object]
    js: str
    css: str

    def __repr__(self) -> str:
        return f"<{self.name}: {self.title}>"

    def _repr_html_(self) -> str:
        """For notebooks: plain HTML, with an id of its own, that disturbs nothing else."""
        identifier = f"headlight-{uuid.uuid4().hex}"
        return (
            f'<div id="{identifier}"></div>\n'
            f'<script type="module">\n{_host(identifier, self)}</script>\n'
        )

    def to_html(self) -> str:
        """A complete HTML page."""
        return document(self.title, self._repr_html_())


def document(title: str, body: str, *, scheme: str | None = None) -> str:
    """A complete HTML page, for a file, with that title above that body.

    Args:
        title: one line.
        body: HTML.
        scheme: "light" or "dark", for what cannot be both; None: as the reader's system is.
    """
    # A lone surrogate is no character, and no file can hold it.
    title = html.escape(title.encode("utf-8", "replace").decode("utf-8"))
    marked = "" if scheme is None else f' class="{scheme}"'
    return (
        f'<!doctype html>\n<html lang="en"{marked}>\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{(FOLDER / 'page.css').read_text('utf-8')}</style>\n"
        f"</head>\n<body>\n<main>\n<h1>{title}</h1>\n{body}</main>\n</body>\n</html>\n"
    )


def script(name: str) -> str:
    """One ES module text for a view: what `export default` of NAME.js is, it exports by default."""
    return f"const view = {_joined(name)};\n{_LAST_LINE}"


def style(*names: str) -> str:
    """The style sheet of a view: the theme that all share, those of views inside it, its own."""
    parts = [(FOLDER / f"{part}.css").read_text("utf-8") for part in ("theme", *names)]
    return "\n".join(parts)


def _host(identifier: str, view: View) -> str:
    """The script that mounts a view in a shadow root, where no style of the page reaches it."""
    host = _EXPORT.sub(r"\1 \2", _text("host")).strip()
    # A token may hold anything: without "<" nothing in the data can end the script element.
    arguments = [
        json.dumps(value).replace("<", "\\u003c") for value in (identifier, view.css, view.data)
    ]
    return f"{view.js.replace(_LAST_LINE, '')}{host}\nshow(view, {', '.join(arguments)});\n"


@cache
def _joined(name: str) -> str:
    """The modules that NAME.js needs, in order, in one expression whose value is its default."""
    done: dict[str, str] = {}
    _visit(name, done, [])
    body = "\n".join(f"const ${module} = {text};" for module, text in done.items())
    return f"(() => {{\n{body}\nreturn ${name}.default;\n}})()"


def _visit(name: str, done: dict[str, str], above: list[str]) -> None:
    if name in above:
        raise ValueError(f"{name}.js imports itself, by way of {' and '.join(above)}.")
    if name in done:
        return
    text = _text(name)
    for _, needed in _IMPORT.findall(text):
        _visit(needed, done, [*above, name])
    exports = [exported for _, exported in _EXPORT.findall(text)]
    default = _DEFAULT.search(text)
    if default:
        exports.append(f"default: {default[1]}")
    text = _IMPORT.sub(
        lambda found: f"const {{{found[1].replace(' as ', ': ')}}} = ${found[2]};", text
    )
    text = _EXPORT.sub(r"\1 \2", text)
    text = _DEFAULT.sub(lambda found: found[0].removeprefix("export default "), text)
    left = _ANY.search(text)
    if left or "</script" in text or "<!--" in text:
        raise ValueError(
            f"{name}.js has a line that cannot be joined: {left and left[0].strip()!r}"
        )
    done[name] = f"(() => {{\n{text.strip()}\nreturn {{ {', '.join(exports)} }};\n}})()"


def _text(name: str) -> str:
    """A module without the lines that are only comments: some notebooks put all in one line."""
    return _COMMENT.sub("", (FOLDER / f"{name}.js").read_text("utf-8"))
