"""Which models there are: `%claude_models`."""

from __future__ import annotations

from IPython.core.magic import line_magic, magics_class

from ..errors import UsageError
from .beside import BesideMagics


@magics_class
class ModelMagics(BesideMagics):
    """`%claude_models`."""

    @line_magic
    def claude_models(self, line: str) -> None:
        """The models: size, price, thinking and effort, what they take, and when they retire.

        %claude_models [--all]

        Without --all, those that can be asked; with it, the retired ones too.
        """
        if set(line.split()) - {"--all"}:
            raise UsageError("%claude_models takes nothing but --all.")
        from . import listing

        settings, retired = self._asking.settings(), "--all" in line.split()
        answer = self._asking.session.client.models(settings, retired=retired)
        self.shell.display_pub.publish(listing.models_table(answer, settings.provider, retired), {})
