"""The results as an SVG picture for docs/benchmark.md: six small plots, one colour for each contender."""

import matplotlib

matplotlib.use("svg")

from matplotlib import pyplot  # noqa: E402

from .contenders import BARE, DANTE, HAND_WRITTEN, PROXYCHAINS, TAILCHAIN, TORSOCKS  # noqa: E402

COLOURS = {
    BARE: "#9aa5b1",
    HAND_WRITTEN: "#52606d",
    TAILCHAIN: "#0f7b6c",
    PROXYCHAINS: "#d9822b",
    TORSOCKS: "#8661c1",
    DANTE: "#b8405e",
}
# Text remains text, and the same results give the same file.
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tailchain",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#7b8794",
    "axes.labelcolor": "#323f4b",
    "xtick.color": "#323f4b",
    "ytick.color": "#323f4b",
}


def draw(results, path):
    rows = {row["key"]: row for row in results["rows"]}
    with pyplot.rc_context(STYLE):
        figure, ((calls, rate, start), (wall, stall, names)) = pyplot.subplots(2, 3, figsize=(11, 6.2))
        bars(calls, rows["system_calls"], "System calls of a connect", "{:.0f}")
        bars(rate, rows["sequential"], "Sequential connects per second", "{:,.0f}")
        bars(start, rows["preload"], "Start, preloaded, µs", "{:,.0f}")
        title = "asyncio connects at once, proxy of 50 ms"
        curves(wall, rows, "concurrent_{}", f"{title}:\nms until all stand", "connects")
        curves(stall, rows, "stall_{}", f"{title}:\nlongest stall of the loop, ms", "connects")
        curves(names, rows, "name_again_{}_1", "getaddrinfo, known name, µs", "names known")
        handles = [pyplot.Line2D([], [], color=colour, marker="o", label=name) for name, colour in COLOURS.items()]
        figure.legend(handles=handles, ncols=len(handles), loc="upper center", frameon=False)
        figure.text(0.01, 0.01, f"Medians. {results['machine']}.", fontsize=7.5, color="#52606d")
        figure.tight_layout(rect=(0, 0.025, 1, 0.95), h_pad=2, w_pad=2)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None}, facecolor="white")
        pyplot.close(figure)


def median(row, name):
    return row["cells"].get(name, {}).get("median")


def bars(axes, row, title, form):
    """A bar for each contender that has a figure, the fastest on top."""
    found = [(name, median(row, name)) for name in COLOURS if median(row, name) is not None]
    found.reverse()
    labels, values = [name for name, _ in found], [value for _, value in found]
    drawn = axes.barh(labels, values, color=[COLOURS[name] for name in labels], height=0.65)
    axes.bar_label(drawn, [form.format(value) for value in values], padding=3, color="#323f4b")
    axes.set_xlim(0, max(values) * 1.2)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(left=False)
    axes.set_title(title)


def curves(axes, rows, key, title, label):
    """A line for each contender, over the amounts that were measured; both axes are logarithmic."""
    amounts = [1, 10, 64, 100, 1000, 10_000, 100_000]
    for name, colour in COLOURS.items():
        points = [(amount, median(rows[key.format(amount)], name)) for amount in amounts if key.format(amount) in rows]
        points = [(amount, value) for amount, value in points if value is not None]
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=4, linewidth=1.6)
    axes.set_xscale("log")
    axes.set_yscale("log")
    form = matplotlib.ticker.FuncFormatter(
        lambda value, _: f"{value / 1000:g}k" if value >= 10_000 else f"{value:,.12g}"
    )
    for axis in [axes.xaxis, axes.yaxis]:
        axis.set_major_formatter(form)
        axis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    axes.grid(color="#e4e7eb", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_xlabel(label)
    axes.set_title(title)
