"""Names of variables that other programs read: they may stand in `.env` and in the documents."""

FOREIGN_PREFIXES = (
    *("AWS_", "COMPOSE_", "CUDA_", "HF_", "MKL_", "OMP_"),
    *("PYTHON", "PYTORCH_", "TOKENIZERS_", "TRANSFORMERS_", "UVICORN_"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy"),
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_"),
)
