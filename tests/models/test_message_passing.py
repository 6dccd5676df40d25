import pytest
import torch

from medssl.models.message_passing import MessagePassing, adjacency, nearest_neighbors, normalized


def nodes(graphs=2, count=7, dim=5):
    return torch.randn(graphs, count, dim, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("count", [1, 5, 6])
def test_each_node_has_its_nearest_others_and_never_itself(count):
    z = nodes().requires_grad_()
    edges = nearest_neighbors(z, count)
    assert edges.shape == (2, 7 * count, 2)
    assert not edges.requires_grad
    assert (edges[..., 0] != edges[..., 1]).all()
    for graph, of_graph in zip(z, edges, strict=True):
        for center in range(7):
            alike = torch.nn.functional.cosine_similarity(graph[center], graph, dim=1)
            alike[center] = -2
            expected = set(alike.topk(count).indices.tolist())
            assert set(of_graph[of_graph[:, 0] == center, 1].tolist()) == expected


@pytest.mark.parametrize("count", [0, 7])
def test_more_neighbors_than_there_are_are_refused(count):
    with pytest.raises(ValueError, match=rf"of 7 nodes has 1 to 6 others, got {count}"):
        nearest_neighbors(nodes(), count)


def test_a_layer_is_the_formula():
    torch.manual_seed(0)
    z = nodes()
    edges = nearest_neighbors(z, 2)
    passing = MessagePassing(5, layers=1, kind="gcn")
    found = passing(z, edges)
    for graph in range(2):
        a = torch.eye(7)
        for center, neighbor in edges[graph].tolist():
            a[center, neighbor] = a[neighbor, center] = 1
        root = torch.diag(a.sum(dim=1) ** -0.5)
        weight, bias = passing.own[0].weight, passing.own[0].bias
        torch.testing.assert_close(found[graph], root @ a @ root @ z[graph] @ weight.T + bias)


def test_the_other_kind_adds_the_largest_of_the_neighbors():
    torch.manual_seed(0)
    z = nodes()
    edges = nearest_neighbors(z, 2)
    passing = MessagePassing(5, layers=1, kind="graphconv")
    joined = adjacency(edges, 7)
    found = passing(z, edges)
    for graph in range(2):
        for center in range(7):
            most = z[graph, joined[graph, center]].max(dim=0).values
            expected = passing.own[0](z[graph, center]) + passing.others[0](most)
            torch.testing.assert_close(found[graph, center], expected)


@pytest.mark.parametrize("kind", ["gcn", "graphconv"])
def test_two_layers_are_the_formula_twice_with_a_relu_between(kind):
    torch.manual_seed(0)
    z = nodes()
    edges = nearest_neighbors(z, 2)
    passing = MessagePassing(5, layers=2, kind=kind)
    found = passing(z, edges)
    for graph in range(2):
        heard = {center: set() for center in range(7)}
        for center, neighbor in edges[graph].tolist():
            heard[center].add(neighbor)
            heard[neighbor].add(center)
        now = list(z[graph])
        for layer in range(2):
            said = []
            for center, others in heard.items():
                if kind == "gcn":
                    told = sum(
                        now[j] / ((len(heard[j]) + 1) * (len(others) + 1)) ** 0.5
                        for j in {center} | others
                    )
                    said.append(passing.own[layer](told))
                else:
                    most = torch.stack([now[j] for j in others]).amax(dim=0)
                    said.append(passing.own[layer](now[center]) + passing.others[layer](most))
            now = [one.clamp(min=0) for one in said] if layer == 0 else said
        torch.testing.assert_close(found[graph], torch.stack(now))
    assert (found < 0).any()


def test_on_a_regular_graph_what_is_constant_stays_so():
    ring = torch.arange(6)
    edges = torch.stack([ring, (ring + 1) % 6], dim=1)[None]
    weights = normalized(adjacency(edges, 6))
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(1, 6))


@pytest.mark.parametrize("kind", ["gcn", "graphconv"])
def test_the_order_of_nodes_does_not_matter_and_without_layers_nothing_is_heard(kind):
    torch.manual_seed(0)
    z = nodes()
    order = torch.randperm(7)
    passing = MessagePassing(5, layers=2, kind=kind)
    found = passing(z, nearest_neighbors(z, 3))
    mixed = passing(z[:, order], nearest_neighbors(z[:, order], 3))
    torch.testing.assert_close(mixed, found[:, order])
    assert torch.equal(MessagePassing(5, layers=0, kind=kind)(z, nearest_neighbors(z, 3)), z)
