"""The kinds that we watch, and where the API has them."""

from enum import Enum

from stepguard_policy.resources import API_VERSION, GROUP, VERSION


class Kind(Enum):
    """A custom resource: its kind, and its plural in URLs."""

    POLICY = ("StepUpPolicy", "stepuppolicies")
    ISSUER = ("TokenIssuer", "tokenissuers")

    @property
    def plural(self) -> str:
        """As in URLs."""
        return self.value[1]

    @property
    def kind(self) -> str:
        """As in manifests."""
        return self.value[0]

    def collection(self, namespace: str = "") -> str:
        """The URL path of all of them, or of those of one namespace. TokenIssuers have none."""
        within = f"namespaces/{namespace}/" if namespace and self is Kind.POLICY else ""
        return f"/apis/{GROUP}/{VERSION}/{within}{self.plural}"

    def item(self, namespace: str, name: str) -> str:
        """The URL path of one object."""
        return f"{self.collection(namespace)}/{name}"

    @property
    def identification(self) -> dict[str, str]:
        """ApiVersion and kind, which objects inside lists lack."""
        return {"apiVersion": API_VERSION, "kind": self.kind}
