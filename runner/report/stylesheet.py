"""How a report looks: on a desk and on a phone, light and dark, and in print."""

from collections.abc import Iterable

from optrun.runner.report.inline_svg import GROUNDS, colour_rules, style_rules

# Of text, to be read on the ground of the page.
INKS = {
    "light": {"ink": "#1b1f24", "faint": "#57606a", "link": "#0550ae", "bad": "#a40e26"},
    "dark": {"ink": "#e6e9ed", "faint": "#a3adb8", "link": "#79b8ff", "bad": "#ff8e86"},
}
_LINES = {"light": {"line": "#d5dae0", "band": "#f4f6f8"}, "dark": {"line": "#39414b"}}
_LINES["dark"]["band"] = "#1d232a"

_RULES = """
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem 1rem 3rem;max-width:76rem;background:var(--ground);
 color:var(--ink);font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;
 overflow-wrap:anywhere}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 .25rem}
h2{font-size:1.3rem;line-height:1.3;margin:2.5rem 0 .75rem;padding-top:1rem;
 border-top:2px solid var(--line)}
h3{font-size:1.1rem;margin:2rem 0 .5rem}
h4{font-size:1rem;margin:0}
p,ul{margin:.5rem 0;max-width:48rem}
ul{padding-left:1.25rem}
a{color:var(--link)}
small,.faint,.spread{color:var(--faint)}
small{display:block;font-weight:normal;font-size:.85em}
.bad{color:var(--bad)}
.verdict{list-style:none;padding:0;margin:1rem 0}
.verdict li{padding:.6rem .9rem;margin:.4rem 0;background:var(--band);font-weight:600;
 border-left:4px solid var(--link)}
.notes{color:var(--faint);font-size:.93rem}
.scroll{overflow-x:auto;margin:.75rem 0;border:1px solid var(--line);border-radius:4px}
.scroll:focus-visible,summary:focus-visible{outline:2px solid var(--link)}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
caption{text-align:left;padding:.4rem .6rem;color:var(--faint)}
caption span{position:sticky;left:.6rem;display:inline-block;max-width:min(46rem,100vw - 4rem)}
th,td{padding:.35rem .6rem;text-align:right;vertical-align:top;border-top:1px solid var(--line);
 overflow-wrap:normal}
thead th{border-top:0;vertical-align:bottom;white-space:nowrap}
th:first-child{text-align:left;position:sticky;left:0;background:var(--ground);min-width:11.5rem;
 max-width:18rem;overflow-wrap:anywhere}
.texts td,.texts th{text-align:left}
td.number{white-space:nowrap}
fieldset{border:1px solid var(--line);border-radius:4px;padding:.4rem .75rem .6rem;margin:1rem 0;
 min-width:0}
legend{color:var(--faint);font-size:.9rem;padding:0 .3rem}
dt{font-weight:600}
label{display:inline-block;margin:.15rem 1rem .15rem 0}
button{font:inherit;color:var(--link);background:none;border:1px solid var(--line);
 border-radius:4px;padding:.1rem .6rem;cursor:pointer}
figure{margin:1.5rem 0}
figcaption p{margin:.25rem 0}
.plot{overflow-x:auto}
.plot svg{display:block;width:100%;min-width:32rem;max-width:60rem;height:auto;fill:var(--ink);
 font-family:"DejaVu Sans",Verdana,system-ui,sans-serif;stroke-linejoin:round}
details{margin:.5rem 0}
summary{cursor:pointer;color:var(--link)}
code{font:.88em/1.5 ui-monospace,Menlo,Consolas,monospace}
.commands dt{margin-top:.5rem}
.commands dd{margin:0}
pre{margin:.2rem 0;padding:.5rem .75rem;overflow-x:auto;background:var(--band);border-radius:4px}
footer{margin-top:3rem;padding-top:1rem;border-top:1px solid var(--line);color:var(--faint)}
@media (min-width:40rem){th:first-child{min-width:15rem}}
@media print{
 body{max-width:none;padding:0;font-size:10pt}
 .choose,button,summary,.csv{display:none}
 .scroll,.plot{overflow:visible;border:0}
 table{font-size:7.5pt;width:100%}
 th,td{padding:.15rem .25rem}
 th,td{overflow-wrap:anywhere}
 thead th{white-space:normal}
 td.number{white-space:normal}
 th:first-child{position:static;min-width:0}
 .plot svg{min-width:0}
 pre{white-space:pre-wrap;overflow:visible}
 figure,.verdict li,tr{break-inside:avoid}
 h2,h3,h4{break-after:avoid}
}
"""


def stylesheet(colours: Iterable[str], styles: Iterable[str], switches: str = "") -> str:
    """The rules of a page whose pictures have these colours and styles.

    `switches` are rules besides, of what its choices show and hide. A browser that does not know
    `:has` shows everything, and offers no choice.
    """
    themes = {
        ground: f"--ground:{GROUNDS[ground]};"
        + "".join(f"--{name}:{value};" for name, value in {**inks, **_LINES[ground]}.items())
        + colour_rules(colours, ground)
        for ground, inks in INKS.items()
    }
    choices = (
        f"@supports not selector(:has(*)){{.choose{{display:none}}}}"
        f"@supports selector(:has(*)){{{switches}}}"
    )
    return (
        f":root{{color-scheme:light dark;{themes['light']}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{themes['dark']}}}}}"
        f"{_RULES}{style_rules(styles)}{choices}"
    )
