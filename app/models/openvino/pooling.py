"""Work that no answer depends on, left out of a tower that answers with one token of many (class, last or end token).

Behind the last attention no token sees another, so the rest of the last layer is done for the pooled token alone. Its
numbers stay as they were; of ViT-B/32's multiplications 6 % are gone, of the demo model's an eighth.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from app.models.openvino.core import openvino

operations = openvino.opset13

BY_TOKEN: Final = frozenset(
    ("Add", "Subtract", "Multiply", "Divide", "MatMul", "MVN", "Gelu", "Swish", "Sigmoid", "Tanh", "Erf", "Relu")
)
"""What can be done for one token without the others."""


@dataclass(frozen=True)
class _Pool:
    """Where a network picks one token of each text or picture. Sources and outputs are OpenVINO's."""

    source: Any
    """(N, T, D), of all tokens."""
    output: Any
    """(N, D), of those picked."""
    pick: Callable[[Any], Any]
    """The same tokens of another source (N, T, K), as (N, 1, K)."""


def pool_early(network: Any) -> None:
    """Change a tower's `openvino.Model`; one that pools in another way stays as it is."""
    pools = [pool for node in network.get_ordered_ops() if (pool := _as_pool(node)) is not None]
    if len(pools) == 1:
        _pool_before(_what_only_serves(pools[0], network), pools[0])
        network.validate_nodes_and_infer_types()


def _as_pool(node: Any) -> _Pool | None:
    if node.get_type_name() != "Gather":
        return None
    source, indices, axis = node.input_values()
    place = _constant(indices)
    if _has_tokens(source) and _constant(axis) == 1 and place is not None and place.ndim == 0:
        return _Pool(source, node.output(0), lambda other: _at_place(other, place))
    flat = source.get_node()
    if flat.get_type_name() == "Reshape" and _rank(source) == 2 and _constant(axis) == 0:  # `x[rows, places]`
        of_texts = flat.input_value(0)
        if _has_tokens(of_texts):
            return _Pool(of_texts, node.output(0), lambda other: _in_all_rows(other, indices))
    return None


def _has_tokens(output: Any) -> bool:
    """Whether it is (N, T, D), with other T than 1 and a known D."""
    shape = output.get_partial_shape()
    return _rank(output) == 3 and shape[1] != 1 and bool(shape[2].is_static)


def _at_place(source: Any, place: Any) -> Any:
    return operations.gather(source, np.array([place]), np.array(1)).output(0)


def _in_all_rows(source: Any, indices: Any) -> Any:
    """Of the tokens of all texts, one text's after the other's."""
    width = source.get_partial_shape()[2].get_length()
    tokens = operations.reshape(source, np.array([-1, width]), special_zero=False)
    picked = operations.gather(tokens, indices, np.array(0))
    return operations.reshape(picked, np.array([-1, 1, width]), special_zero=False).output(0)


def _what_only_serves(pool: _Pool, network: Any) -> dict[str, Any]:
    """By name, the nodes that work by token and whose outputs go nowhere but to the pool."""
    flat = pool.output.get_node().input_value(0).get_node().get_name()
    served = {pool.output.get_node().get_name(), flat} - {pool.source.get_node().get_name()}
    found: dict[str, Any] = {}
    for node in reversed(network.get_ordered_ops()):
        is_source = node.get_name() == pool.source.get_node().get_name()
        if (is_source or found) and _is_by_token(node):
            users = [user.get_node() for user in node.output(0).get_target_inputs()]
            if all(user.get_name() in served or (is_source and _asks_shape(user)) for user in users):
                found[node.get_name()] = node
                served.add(node.get_name())
    return found


def _is_by_token(node: Any) -> bool:
    """Whether the output (N, T, K) for a token depends on nothing but the inputs for that token."""
    kind = node.get_type_name()
    if kind not in BY_TOKEN or node.get_output_size() != 1 or _rank(node.output(0)) != 3:
        return False
    places = list(node.output(0).get_partial_shape())[:2]
    of_tokens = [_rank(value) == 3 and list(value.get_partial_shape())[:2] == places for value in node.input_values()]
    values = [_constant(value) for value in node.input_values()]
    if kind == "MatMul":
        return (
            of_tokens[0] and values[1] is not None and values[1].ndim == 2 and not node.get_attributes()["transpose_a"]
        )
    if kind == "MVN":
        return of_tokens[0] and values[1] is not None and values[1].tolist() in ([-1], [2])
    return all(
        whole if value is None else value.ndim < 2 or value.shape[-2] == 1
        for whole, value in zip(of_tokens, values, strict=True)
    )


def _pool_before(nodes: dict[str, Any], pool: _Pool) -> None:
    """Give the nodes the picked tokens of what they were given; where the pool picked, nothing is left to do."""
    given = [
        (each, each.get_source_output())
        for node in nodes.values()
        for each in node.inputs()
        if each.get_source_output().get_node().get_name() not in nodes and _constant(each.get_source_output()) is None
    ]
    asked_for_shape = [user for user in pool.source.get_target_inputs() if _asks_shape(user.get_node())]
    alike = [source for _, source in given if source.get_partial_shape() == pool.source.get_partial_shape()]
    if not given or not all(_has_tokens(source) for _, source in given) or (asked_for_shape and not alike):
        return
    for user in asked_for_shape:
        user.replace_source_output(alike[0])
    picked: dict[tuple[str, int], Any] = {}
    for each, source in given:
        key = (source.get_node().get_name(), source.get_index())
        picked[key] = picked.get(key) or pool.pick(source)
        each.replace_source_output(picked[key])
    pool.output.replace(operations.squeeze(pool.source, np.array([1])).output(0))


def _asks_shape(node: Any) -> bool:
    return bool(node.get_type_name() == "ShapeOf")


def _rank(output: Any) -> int:
    shape = output.get_partial_shape()
    return int(shape.rank.get_length()) if shape.rank.is_static else -1


def _constant(output: Any) -> Any:
    """Its array; None where it is computed."""
    node = output.get_node()
    return node.data if node.get_type_name() == "Constant" else None
