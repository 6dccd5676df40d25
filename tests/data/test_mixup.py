import pytest
import torch
from scipy.stats import kstest

from medssl.data.mixup import mixup
from medssl.data.views import LabeledViews


def views(items=6):
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(items, 1, 4, 4, generator=generator)
    return LabeledViews(
        image,
        torch.arange(items)[:, None, None].expand(items, 4, 4),
        torch.zeros(items, dtype=torch.bool),
    )


def test_each_crop_is_blended_with_the_one_whose_label_comes_with_it():
    given = views()
    found = mixup(given, [3, 1, 4], alpha=1.0)
    assert 0 < found.share < 1
    partners = found.blended_label[:, 0, 0]
    assert sorted(partners.tolist()) == list(range(6))
    expected = found.share * given.image + (1 - found.share) * given.image[partners]
    torch.testing.assert_close(found.image, expected)
    assert torch.equal(found.label, given.label)


def test_it_is_what_the_seeds_of_the_batch_say():
    one, again, other = (mixup(views(), seeds, alpha=0.5) for seeds in ([1, 2], [1, 2], [1, 3]))
    assert torch.equal(one.image, again.image)
    assert one.share == again.share != other.share


@pytest.mark.parametrize("alpha", [0.1, 1.0, 4.0])
def test_shares_are_of_a_beta_distribution(alpha):
    shares = [mixup(views(2), [seed], alpha=alpha).share for seed in range(400)]
    assert kstest(shares, "beta", (alpha, alpha)).pvalue > 0.01
