"""A heat map in numbers."""

from typing import Annotated

from pydantic import Field

from app.http.openapi import Schema
from app.search.explain.heat_map import HeatMap


class HeatMapNumbers(Schema):
    """What the picture of a heat map is drawn from."""

    rows: Annotated[int, Field(examples=[6])]
    columns: Annotated[int, Field(examples=[8])]
    values: Annotated[
        list[list[float]],
        Field(
            description="row by row, from the top left: mean over the windows around the cell of the cosine with the "
            "query less the cosine with `a picture`. The highest is the hottest",
            examples=[[[0.01, 0.09], [0.02, 0.04]]],
        ),
    ]

    @classmethod
    def of(cls, made: HeatMap) -> "HeatMapNumbers":
        rows, columns = made.values.shape
        return cls(
            rows=rows, columns=columns, values=[[round(each, 6) for each in row] for row in made.values.tolist()]
        )
