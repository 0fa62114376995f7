"""Who serves Claude: one row a provider, with its clients in the SDK, what it needs and lacks, and its price list.

The choices of `%config ClaudeMagic.provider`, the clients and the prices are made from these rows.

Sources: the SDK's client classes (2.12: `_client.py`, `lib/bedrock`, `lib/aws`, `lib/vertex`, `lib/google_cloud`,
`lib/foundry.py`) and CLAUDE_API.md §4, §10 and §12. Credentials are found by the SDK, not here: a row only says in
words where it looks.
"""

from __future__ import annotations

from dataclasses import dataclass

# What only some providers have, and how it is said that one has not.
FEATURES = {
    "models": "does not list its models",
    "count_tokens": "does not count tokens",
    "batches": "takes no batches",
    "files": "keeps no files",
    "diagnostics": "does not say why the prompt cache was missed",
    "web_search": "has no web search of the version that --web-search asks for",
    "web_fetch": "has no --web-fetch",
    "code_execution": "has no --code-execution",
    "mcp": "has no --mcp",
    "urls": "fetches no addresses: it takes images and documents as bytes only",
}


@dataclass(frozen=True)
class Provider:
    """One provider.

    `title` is what people call it. `sdk_classes` are the SDK's names of its clients: the first is made here, the
    others are known when a user gives one. `setup` says what to set, `credentials` where those come from, and
    `extra` which of the anthropic package's extras it takes. `address` is the environment variable with the base URL.
    `key` is the one with the API key of a provider that speaks the Claude API as it is, through the SDK's `Anthropic`:
    that client knows ANTHROPIC_API_KEY only. The other clients read their variables themselves, and `address` is only
    named in advice. `variables` are the prefixes of all that is read: a change there makes a new client, and keys
    there are kept out of messages.
    `price_list` is the provider in genai-prices whose list prices its calls; `None`: they cost `n/a`.
    `prefix` opens its model ids, and `ids` says in a sentence how they look. `imports` are the packages that its
    credentials take: imported beforehand, where an Interrupt cannot leave them half done. `whole_body`: its requests
    are signed, body and all, so that a body cannot be written while it is sent.
    """

    title: str
    sdk_classes: tuple[str, ...]
    setup: str
    credentials: str
    address: str
    price_list: str | None
    extra: str = ""
    lacks: frozenset[str] = frozenset()
    prefix: str = ""
    ids: str = ""
    imports: tuple[str, ...] = ()
    whole_body: bool = False
    key: str = ""
    variables: tuple[str, ...] = ("ANTHROPIC_",)


# What runs on Anthropic's own servers (the pages of these tools, "availability"; on Vertex AI there is web search of
# 2025 only, and its tool is another one).
_SERVER_TOOLS = ("web_search", "web_fetch", "code_execution", "mcp")
_AWS_VARIABLES = ("ANTHROPIC_", "AWS_")
_GOOGLE_VARIABLES = ("ANTHROPIC_", "GOOGLE_", "CLOUD_ML_", "CLOUDSDK_")
_AWS_IMPORTS = ("boto3", "botocore.auth", "botocore.awsrequest")
_GOOGLE_IMPORTS = ("google.auth", "google.auth.transport.requests")
_GOOGLE_LOGIN = "`gcloud auth application-default login` signs you in."

PROVIDERS = {
    "anthropic": Provider(
        title="The Claude API",
        sdk_classes=("Anthropic",),
        setup="Set ANTHROPIC_API_KEY in the environment before Jupyter starts, or run %claude_key, which asks for it "
        "with hidden input. To try without a key: %config ClaudeMagic.provider = 'offline'",
        credentials="your Anthropic profile",
        address="ANTHROPIC_BASE_URL",
        price_list="anthropic",
    ),
    "offline": Provider(
        title="The offline stand-in",
        sdk_classes=(),
        setup="",
        credentials="the stand-in, which takes any key",
        address="",
        price_list="anthropic",  # it costs what Claude would
    ),
    # Not `AnthropicBedrock`, the older endpoint: Mantle speaks the Messages API as it is (events, errors, counting,
    # betas in their header), and AWS recommends it for what is new. The older one can be given as a client.
    "bedrock": Provider(
        title="Amazon Bedrock",
        sdk_classes=("AnthropicBedrockMantle", "AnthropicBedrock"),
        setup="Set AWS_REGION, and AWS_BEARER_TOKEN_BEDROCK or AWS credentials as boto3 takes them "
        "(AWS_PROFILE, a role, `aws sso login`).",
        credentials="the AWS credentials (AWS_BEARER_TOKEN_BEDROCK, or what boto3 finds)",
        address="ANTHROPIC_BEDROCK_MANTLE_BASE_URL",
        price_list="aws",
        extra="bedrock",
        lacks=frozenset({"models", "batches", "files", "diagnostics", "urls", *_SERVER_TOOLS}),
        prefix="anthropic.",
        ids="Its model ids look like anthropic.claude-opus-5-5.",
        imports=_AWS_IMPORTS,
        variables=_AWS_VARIABLES,
    ),
    "aws": Provider(
        title="Claude Platform on AWS",
        sdk_classes=("AnthropicAWS",),
        setup="Set AWS_REGION and ANTHROPIC_AWS_WORKSPACE_ID, and ANTHROPIC_AWS_API_KEY or AWS credentials as boto3 "
        "takes them (AWS_PROFILE, a role, `aws sso login`).",
        credentials="the AWS credentials (ANTHROPIC_AWS_API_KEY, or what boto3 finds)",
        address="ANTHROPIC_AWS_BASE_URL",
        price_list="aws",
        extra="aws",
        lacks=frozenset({"diagnostics"}),
        imports=_AWS_IMPORTS,
        variables=_AWS_VARIABLES,
        whole_body=True,
    ),
    "vertex": Provider(
        title="Google Vertex AI",
        sdk_classes=("AnthropicVertex",),
        setup=f"Set CLOUD_ML_REGION and ANTHROPIC_VERTEX_PROJECT_ID. {_GOOGLE_LOGIN}",
        credentials="the Google credentials (GOOGLE_APPLICATION_CREDENTIALS, or your login by gcloud)",
        address="ANTHROPIC_VERTEX_BASE_URL",
        price_list="google",
        extra="vertex",
        lacks=frozenset({"models", "batches", "files", "diagnostics", "urls", *_SERVER_TOOLS}),
        ids="Its ids of older models end in a date, as claude-opus-4-5@20251101.",
        imports=_GOOGLE_IMPORTS,
        variables=_GOOGLE_VARIABLES,
    ),
    "google-cloud": Provider(
        title="Claude on Google Cloud",
        sdk_classes=("AnthropicGoogleCloud",),
        setup=f"Set ANTHROPIC_GOOGLE_CLOUD_PROJECT and ANTHROPIC_GOOGLE_CLOUD_WORKSPACE_ID. {_GOOGLE_LOGIN}",
        credentials="the Google credentials (GOOGLE_APPLICATION_CREDENTIALS, or your login by gcloud)",
        address="ANTHROPIC_GOOGLE_CLOUD_BASE_URL",
        price_list="google",
        extra="google-cloud",
        lacks=frozenset({"diagnostics"}),
        imports=_GOOGLE_IMPORTS,
        variables=_GOOGLE_VARIABLES,
        whole_body=True,
    ),
    "foundry": Provider(
        title="Microsoft Foundry",
        sdk_classes=("AnthropicFoundry",),
        setup="Set ANTHROPIC_FOUNDRY_API_KEY, and ANTHROPIC_FOUNDRY_RESOURCE or ANTHROPIC_FOUNDRY_BASE_URL. With "
        "Entra ID: ClaudeMagic.client = AnthropicFoundry(azure_ad_token_provider=…)",
        credentials="the key in ANTHROPIC_FOUNDRY_API_KEY",
        address="ANTHROPIC_FOUNDRY_BASE_URL",
        price_list="azure",
        lacks=frozenset({"models", "batches", "diagnostics"}),
        ids="Its model ids are the names of your deployments.",
        variables=("ANTHROPIC_", "AZURE_"),
    ),
}


def price_list(provider: str) -> str | None:
    """The price list of genai-prices that goes with a provider; `None` where there is none."""
    row = PROVIDERS.get(provider)
    return row.price_list if row else None


def lacks(provider: str, feature: str) -> str | None:
    """That a provider lacks one of `FEATURES`, as a sentence; `None` where it has it, or nobody knows."""
    row = PROVIDERS.get(provider)
    return f"{row.title} {FEATURES[feature]}." if row and feature in row.lacks else None


def model_id(provider: str, model: str) -> str:
    """What a provider calls a model: `claude-opus-5-5` is `anthropic.claude-opus-5-5` on Bedrock.

    Any other spelling is left as it is.
    """
    row = PROVIDERS.get(provider)
    return f"{row.prefix}{model}" if row and model.startswith("claude-") else model


def name_of(client: object, expected: str) -> str:
    """Which provider an SDK client is of, by its class; `expected` where that one or no row has the class."""
    classes = [each.__name__ for each in type(client).__mro__]
    rows = [[name for name, row in PROVIDERS.items() if each in row.sdk_classes] for each in classes]
    nearest = next((found for found in rows if found), [expected])
    return expected if expected in nearest else nearest[0]


def variable_prefixes() -> tuple[str, ...]:
    """The prefixes of the environment variables that the providers' clients read."""
    return tuple(sorted({prefix for row in PROVIDERS.values() for prefix in row.variables}))
