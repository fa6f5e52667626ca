"""The template's coefficients: where a tenant shows nothing to the contrary, these hold.

One regression over 58 real tenants, as `python -m benchmarks.template FOLDER…` printed it.
"""

from schema.records import Blend

PRIOR = Blend(
    repeat={"intercept": -5.534, "als": 2.227, "neighbours": 0.017, "similar": -0.031, "category": 0.353, "segment": -0.793, "share": -0.187, "recent_share": 0.095, "season_share": 0.232, "newcomers": -0.099, "season_newcomers": -0.193, "sales": 0.218, "unsold": -0.226, "on_sale": 0.156, "category_share": -0.108, "category_recent_share": 0.188, "visits": 0.192, "recent_visits": 0.585, "silence": -0.079, "variety": -0.456, "basket": 0.411, "discoveries": -0.069, "visit_due": 0.150, "times": 0.185, "age": 0.982, "decayed_short": 0.444, "decayed_middle": 0.071, "decayed_long": 0.652, "due": -0.342},
    fresh={"intercept": -0.387, "als": 1.382, "neighbours": 0.147, "similar": 0.190, "category": 0.348, "segment": -0.196, "share": 0.430, "recent_share": 0.044, "season_share": 0.080, "newcomers": 0.139, "season_newcomers": 0.064, "sales": -0.082, "unsold": -0.354, "on_sale": -0.522, "category_share": -0.237, "category_recent_share": 0.192, "visits": 0.062, "recent_visits": -0.004, "silence": -0.097, "variety": 0.190, "basket": -0.551, "discoveries": 0.192, "visit_due": 0.030},
)
