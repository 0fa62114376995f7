"""What a reply may try: Markdown that would set `window.PWN` or ask `http://evil.invalid/` for something.

`window.PWN++` has no `=` and no quote in it, so that it is valid in an unquoted attribute; it
leaves PWN not undefined (NaN).

`HOSTILE` is a list of (name, Markdown). Shown through `claude_magic.render.markup`, none of it may do anything.
"""

from __future__ import annotations

_PWN = "window.PWN++"
_IMAGE = f"<img src=x onerror={_PWN}>"
_SCRIPT = f"<script>{_PWN}</script>"
_JS = f"javascript:{_PWN}"
_EVIL = "http://evil.invalid"
_FENCE = "```"

_HTML = [
    ("script", _SCRIPT),
    ("script upper case", _SCRIPT.upper()),
    ("script after text", f"text {_SCRIPT} text"),
    ("script over lines", f"<script\n>\n{_PWN}\n\n</script>"),
    ("image error", _IMAGE),
    ("image error, slashes", f"<img/src=x/onerror={_PWN}>"),
    ("image error, newlines in tag", f"<img\nsrc=x\nonerror={_PWN}\n>"),
    ("image, remote", f"<img src={_EVIL}/a.png>"),
    ("iframe srcdoc", f'<iframe srcdoc="<script>parent.{_PWN}</script>"></iframe>'),
    ("iframe", f"<iframe src={_EVIL}/></iframe>"),
    ("object", f"<object data={_EVIL}/></object>"),
    ("embed", f"<embed src={_EVIL}/>"),
    ("svg onload", f"<svg onload={_PWN}></svg>"),
    ("svg script", f"<svg><script>{_PWN}</script></svg>"),
    ("svg use", f'<svg><use href="{_EVIL}/a.svg#x"/></svg>'),
    ("style element", "<style>body{display:none}</style>"),
    ("style import", f"<style>@import '{_EVIL}/a.css'</style>"),
    ("style attribute", f'<p style="position:fixed;background:url({_EVIL}/a)">x</p>'),
    ("link element", f'<link rel="stylesheet" href="{_EVIL}/a.css">'),
    ("meta refresh", f'<meta http-equiv="refresh" content="0;{_EVIL}">'),
    ("base", f'<base href="{_EVIL}/">'),
    ("form", f'<form action="{_EVIL}"><button>x</button></form>'),
    ("input autofocus", f"<input autofocus onfocus={_PWN}>"),
    ("details toggle", f"<details open ontoggle={_PWN}>x</details>"),
    ("video poster", f'<video poster="{_EVIL}/p.png" src="{_EVIL}/v.mp4" autoplay></video>'),
    ("audio", f"<audio src={_EVIL}/a.mp3 autoplay onerror={_PWN}></audio>"),
    ("marquee", f"<marquee onstart={_PWN}>x</marquee>"),
    ("math element", f'<math><mtext><table><mglyph><style><img src=x onerror="{_PWN}">'),
    ("command link", '<a data-commandlinker-command="notebook:run-all-cells" href="#">x</a>'),
    ("closing tags", f"</div></div></pre></code>{_SCRIPT}"),
    ("comment", f"<!-- {_SCRIPT} -->{_IMAGE}"),
    ("comment, half open", f"<!-- x\n\n{_SCRIPT}"),
    ("comment, odd end", f"<!--> {_IMAGE} <!-- --!> {_IMAGE}"),
    ("processing instruction", f"<?x {_IMAGE}?>"),
    ("declaration", f"<!DOCTYPE x {_IMAGE}>"),
    ("cdata", f"<![CDATA[ {_IMAGE} ]]>"),
    ("half-open tag at the end", f"text <img src=x onerror={_PWN} "),
    ("tag with a quoted bracket", f'<a title=">" onclick="{_PWN}" href="#">x</a>'),
    ("span with attributes", f'<span onclick="{_PWN}">&#36;</span>'),
    ("our own span, longer", f"<span>&#36;{_IMAGE}</span>"),
    ("html after a soft break", f"text\n{_IMAGE}"),
    ("html in a heading", f"# x {_IMAGE}\n\ny {_IMAGE}\n==="),
    ("html in a table", f"| a {_IMAGE} | b |\n|---|---|\n| {_IMAGE} | `|{_IMAGE}` |"),
    ("html in emphasis", f"**{_IMAGE}** *{_IMAGE}* ~~{_IMAGE}~~"),
    ("escaped backslash before html", f"\\\\{_IMAGE} \\{_IMAGE}"),
    ("noscript", f'<noscript><p title="</noscript>{_IMAGE}">'),
    ("template", f"<template>{_IMAGE}</template><xmp>{_IMAGE}</xmp>"),
]

_LINKS = [
    ("javascript link", f"[x]({_JS})"),
    ("javascript link, mixed case", "[x](JaVaScRiPt:window.PWN++)"),
    ("javascript link, entity colon", "[x](javascript&colon;window.PWN++)"),
    ("javascript link, number entity", "[x](&#106;avascript:window.PWN++) [x](java&#x73;cript&#58;window.PWN++)"),
    ("javascript link, tab entity", "[x](java&Tab;script:window.PWN++) [x](java&NewLine;script:window.PWN++)"),
    ("javascript link, control character", "[x](<\x01javascript:window.PWN++>) [x](java\x00script:window.PWN++)"),
    ("javascript link, spaces", f"[x](<  {_JS}>) [x](\n{_JS})"),
    ("javascript link, percent", "[x](javascript%3Awindow.PWN++) [x](%6Aavascript:window.PWN++)"),
    ("javascript link, backslash", "[x](javascript\\:window.PWN++) [x](\\javascript:window.PWN++)"),
    ("javascript reference", f"[x]\n\n[x]: {_JS}"),
    ("javascript reference, angle", f"[x][y]\n\n[y]: <{_JS}> 'title'"),
    ("javascript reference, before", f"[y]: {_JS}\n\n[x][y] [y][] [y]"),
    ("javascript autolink", f"<{_JS}>"),
    ("javascript link with title", f"[x]({_JS} \"title\") [x]({_JS} 'a' )"),
    ("javascript link around an image", f"[![x](y)]({_JS})"),
    ("data link", f"[x](data:text/html,{_SCRIPT})"),
    ("data autolink", "<data:text/html;base64,PHNjcmlwdD53aW5kb3cuUFdOPTE8L3NjcmlwdD4=>"),
    ("vbscript link", "[x](vbscript:window.PWN++) <vbscript:x>"),
    (
        "file and blob links",
        "[x](file:///etc/passwd) [x](blob:http://evil.invalid/1) <view-source:x> ftp://evil.invalid/x",
    ),
    ("relative link", "[x](./lab/api/kernels) [x](/api/contents?x=1) [x](?a=1) [x]()"),
    ("protocol-relative link", "[x](//evil.invalid/x) [x](\\\\evil.invalid/x)"),
    (
        "quote in an address",
        f'[x](http://evil.invalid/"onmouseover="{_PWN}) [x](<http://evil.invalid/" onclick="{_PWN}>)',
    ),
    ("quote in a title", f"[x](http://evil.invalid/ '\" onmouseover=\"{_PWN}')"),
    ("html in an address", f"[x](<http://evil.invalid/{_IMAGE}>)"),
    ("html in a label", f"[{_IMAGE}](http://evil.invalid/) [a `]({_JS}) b` c](http://evil.invalid)"),
    ("math in an address", f'$" onclick="{_PWN}$ [x](http://evil.invalid/$" onclick="{_PWN}$) [y](http://a/@@0@@)'),
    ("placeholder made by escapes", f'$" onclick="{_PWN}$ [y](http://a/@\\@0@@) [z](http://a/@&#64;0@@) @\\@0@@'),
    ("title over a fence", f'[a]: b "\n\n{_FENCE}\n{_IMAGE}\n{_FENCE}\n"\n\n{_IMAGE}'),
    ("reference title swallows", f"[a]: /b (\n\n`\n\n{_IMAGE}\n\n`)\n\n[a]"),
    ("image, remote", f"![x]({_EVIL}/a.png)"),
    ("image, relative", "![x](a.png) ![x](attachment:a.png) ![x](/api/me)"),
    ("image, data", "![x](data:image/svg+xml,%3Csvg%20onload=window.PWN++%3E)"),
    ("image, javascript", f"![x]({_JS})"),
    ("image by reference", f"![x][y] ![y]\n\n[y]: {_EVIL}/a.png"),
    ("image made by a bang", f"wow!\\[x]({_EVIL}/a.png) wow![x]({_EVIL}/a.png) !&#91;x]({_EVIL}/a.png)"),
    ("image alt with html", f"![{_IMAGE}]({_EVIL}/a.png '\" onerror=\"{_PWN}')"),
    ("bare address with html", f'http://evil.invalid/{_IMAGE} http://evil.invalid/"onclick="{_PWN}'),
    ("mail with html", f"a@b.c{_IMAGE} mailto:a@b.c?body={_SCRIPT} <a@b.c>"),
    ("footnote", f"x[^1]\n\n[^1]: {_JS}\n[^2]: {_IMAGE}"),
    ("attribute syntax", f"# x {{onclick={_PWN}}}\n\n[x](http://evil.invalid){{: onclick={_PWN}}}\n{{: .x style=y}}"),
]

_CODE = [
    ("fence info with html", f'{_FENCE}"><img/src=x/onerror={_PWN}>\nx\n{_FENCE}'),
    ("fence info with quotes", f'{_FENCE}py" onclick="{_PWN}\nx\n{_FENCE}'),
    ("tilde fence info", f'~~~ "><img/src=x/onerror={_PWN}> `\nx\n~~~'),
    ("fence, unclosed", f"{_FENCE}\n{_IMAGE}"),
    ("fence, closed by more", f"{_FENCE}\nx\n`````\n{_IMAGE}"),
    ("fence closed with text", f"{_FENCE}\nx\n{_FENCE} x\n{_FENCE}\n{_IMAGE}"),
    ("fence, tildes within backticks", f"{_FENCE}\n~~~\n{_FENCE}\n{_IMAGE}\n~~~"),
    ("fence in a list, dedented", f"- {_FENCE}\n  x\n{_IMAGE}\n- {_FENCE}\n{_IMAGE}"),
    ("fence in a quote, ended by no mark", f"> {_FENCE}\n> x\n{_IMAGE}\n{_FENCE}\n{_IMAGE}"),
    (
        "fence after a paragraph in a list",
        f"1. a\n   {_FENCE}\n   $x\n   {_FENCE}\n   $y$\n   {_FENCE}\n   {_IMAGE}\n   {_FENCE}",
    ),
    (
        "dollar in one fence, math, fence",
        f"> {_FENCE}\n> $a\n> {_FENCE}\n>\n> $x$\n>\n> {_FENCE}\n> {_IMAGE}\n> {_FENCE}",
    ),
    ("environment over a fence", f"\\begin{{a}}\n{_FENCE}\n\\end{{a}}\n{_FENCE}\n{_IMAGE}\n{_FENCE}\n"),
    (
        "environment within fences",
        f"- {_FENCE}\n  \\begin{{a}}\n  {_FENCE}\n- {_FENCE}\n  \\end{{a}}\n  {_FENCE}\n- `{_IMAGE}`",
    ),
    ("brackets in code as math", f"`\\\\[` {_IMAGE} `\\\\]` `{_IMAGE}`"),
    ("code span with dollars", f"`a$` {_IMAGE} `$b` $`$ {_IMAGE} `"),
    ("code span, odd ticks", f"`` a ` {_IMAGE} `` ` {_IMAGE} ``` `"),
    ("code span escaped", f"\\`{_IMAGE}\\` \\\\`{_IMAGE}\\\\`"),
    ("emphasis over code", f"*a ``` x* {_IMAGE} ``` **b `` ** {_IMAGE} ``"),
    ("mask over code", f"*b [x](foo `a) * {_IMAGE}` *c \\[x\\](foo `a) * {_IMAGE}`"),
    ("code spans made adjacent", f"`a`[](x)``{_IMAGE}`` `a`![](x)`{_IMAGE}`"),
    ("code span in a table", f"| a |\n|---|\n| `\\|{_IMAGE}` | `\\\\|{_IMAGE}` |"),
    ("indented code, tabs", f"- a\n\n\t\t{_IMAGE}\n\n\t{_IMAGE}\n    {_IMAGE}\n\n \t {_IMAGE}"),
    ("indented code after a list", f"- a\n\n    {_IMAGE}\n\n      {_IMAGE}\n\n          {_IMAGE}"),
    ("indented by entities", f"&#32;&#32;&#32;&#32;{_IMAGE}\n&#9;{_IMAGE}\n\n&nbsp;&nbsp; {_IMAGE}"),
    ("newline by entity", f"x&#10;&#10;{_FENCE}&#10;{_IMAGE}&#13;&#10;# h &#10;<b>"),
    (
        "entities that make html",
        "&lt;img src=x onerror=window.PWN++&gt; &amp;lt;b&amp;gt; &#60;script&#62;window.PWN++&#60;/script&#62;",
    ),
    (
        "unicode newlines",
        f"`a\u2028{_IMAGE}` \u2029{_FENCE}\u2028{_IMAGE}\r{_IMAGE}\x0b{_IMAGE}\x0c{_IMAGE}\x85{_IMAGE}",
    ),
    ("quote laziness", f"> `a\n{_IMAGE}\n> b` {_IMAGE}"),
    ("setext in a quote", f"> {_FENCE}\n===\n{_IMAGE}\n---\n> {_IMAGE}"),
    ("list laziness", f"- `a\n{_IMAGE}\n- b` {_IMAGE}"),
    ("table that is none", f"a | `b\n--|--\n{_IMAGE} | c` {_IMAGE}"),
    ("mermaid click", f'{_FENCE}mermaid\ngraph TD\nA-->B\nclick A "{_JS}"\nclick B call eval(1)\n{_FENCE}'),
    (
        "mermaid image label",
        f"{_FENCE}mermaid\ngraph TD\nA[\"<img src='{_EVIL}/a.png' onerror='{_PWN}'>\"]-->B\n{_FENCE}",
    ),
    ("mermaid image shape", f'{_FENCE}mermaid\nflowchart TD\nA@{{ img: "{_EVIL}/a.png" }}\n{_FENCE}'),
    (
        "mermaid directive",
        f'{_FENCE}mermaid\n%%{{init: {{"themeCSS": "@import url({_EVIL})"}}}}%%\ngraph TD\nA\n{_FENCE}',
    ),
    (
        "mermaid front matter",
        f"{_FENCE}mermaid\n---\nconfig:\n  themeCSS: '*{{background:url({_EVIL})}}'\n---\ngraph TD\nA\n{_FENCE}",
    ),
]

_MATH = [
    ("href macro", f"$\\href{{{_JS}}}{{x}}$ $$\\href{{{_JS}}}{{x}}$$"),
    ("href macro, brackets", f"\\(\\href{{{_JS}}}{{x}}\\) \\[\\href{{{_JS}}}{{x}}\\] \\\\(\\href{{{_JS}}}{{x}}\\\\)"),
    ("href macro, environment", f"\\begin{{equation}}\\href{{{_JS}}}{{x}}\\end{{equation}}"),
    (
        "class, style and id macros",
        "$\\class{jp-Dialog}{x}$ $\\style{position:fixed}{x}$ $\\cssId{main}{x}$ $\\data{a=b}{x}$",
    ),
    (
        "definitions",
        "$\\def\\x{\\href}\\x{javascript:window.PWN++}{y}$ $\\newcommand{\\alpha}{\\beta}$ $\\let\\a=\\href$",
    ),
    ("require", "$\\require{html}\\href{javascript:window.PWN++}{x}$ $\\unicode{x41}$"),
    ("mathml token", "$\\mmlToken{mi}[href='javascript:window.PWN++']{x}$ $\\bbox[url(http://evil.invalid)]{x}$"),
    (
        "colours that load",
        f"$\\fcolorbox{{red;background:url({_EVIL}/a)}}{{white}}{{x}}$ $\\color{{URL ({_EVIL}/a)}}x$",
    ),
    ("html in math", f"${_IMAGE}$ $${_IMAGE}$$ $x<img src=x onerror={_PWN}>y$"),
    ("math over code", f"$ `a$ {_IMAGE}` $x `$ {_IMAGE} `"),
    ("math that leaves its box", "$\\hspace{-1000px}\\rule{9999em}{9999em}$ $\\raise 500em{x}$"),
    ("math in a reference", f"[x]: $a$ '$\" onclick=\"{_PWN}$'\n\n[x]"),
    ("verb", "$\\verb\\a\\\\href{javascript:window.PWN++}{x}$"),
    ("comment in math", f"$$\n% \\\n\\href{{{_JS}}}{{x}}\n$$"),
    (
        "environment by pieces",
        f"\\begin{{a}} **x** \\href{{{_JS}}}{{x}} \\end{{a}} \\\\begin{{a}}\\href{{{_JS}}}{{y}}\\\\end{{a}}",
    ),
    (
        "delimiters by entities",
        f"&#36;\\href{{{_JS}}}{{x}}&#36; &bsol;(\\href{{{_JS}}}{{x}}&bsol;) \\$\\href{{{_JS}}}{{x}}\\$",
    ),
    ("right to left override", "\u202e)1=NWP.wodniw(tpircs \u2066abc\u202d `\u202ecode` &#x202e;x"),
    ("macro in parentheses over a table", f"| $a | b$ |\n|---|---|\n| \\(\\href{{{_JS}}}{{x}} | \\) {_IMAGE} |"),
]

HOSTILE: list[tuple[str, str]] = _HTML + _LINKS + _CODE + _MATH
"""(name, Markdown)."""

_MANY, _LINES = 30_000, 2_000
ENORMOUS: list[tuple[str, str]] = [
    (f"{name}, many", mark * (_LINES if mark.strip() and mark.endswith("\n") else _MANY) + tail)
    for name, mark, tail in [
        ("quotes", ">", " x"),
        ("quotes with spaces", "> ", "x"),
        ("lists", "- ", "x"),
        ("brackets", "[", "](x)"),
        ("closed brackets", "[a](", ""),
        ("image brackets", "![", "](x)"),
        ("stars", "*", "x"),
        ("emphasis", "*a _b ", ""),
        ("ticks", "`", "x"),
        ("ticks apart", "` `` ", ""),
        ("dollars", "$", "x"),
        ("formulas", "$x ", ""),
        ("braces", "${", "}$"),
        ("less", "<", ">"),
        ("tags", "<b", ">"),
        ("fences", "```\n~~~\n", ""),
        ("lines of quotes", "> a\n", ""),
        ("steps", "1. a\n", ""),
        ("references", "[a]: b\n", "[a]"),
        ("pipes", "|", "\n|-|"),
        ("tildes", "~~", "x"),
        ("backslashes", "\\", "x"),
        ("environments", "\\begin{a}", "\\end{a}"),
        ("addresses", "http://a.", ""),
        ("mails", "a@", "b.c"),
        ("ampersands", "&#", ";"),
        ("newlines", "\n", ""),
        ("spaces", " ", "x"),
    ]
]
"""(name, Markdown of 100,000 repetitions). Each must be rendered within a second."""
