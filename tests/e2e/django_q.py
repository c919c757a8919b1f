"""The runner for Django Q2 as the documentation has it; here it is another module."""

from tests.support.markdown import blocks

(_BLOCK,) = [block for block in blocks("python") if block.file == "shop/django_q.py"]

exec(compile(_BLOCK.code.replace("shop.django_q", __name__), str(_BLOCK), "exec"))
