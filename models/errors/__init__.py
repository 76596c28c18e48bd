"""The errors that ragserve raises.

RagError
├── InvalidRequestError        the request is wrong
│   ├── PayloadTooLargeError   … or too large
│   └── BodyTimeoutError       … or its body arrives too slowly
├── UnauthorizedError          no API key, or an unknown one
├── ForbiddenError             the API key may not do this, or a browser's page may not call it
├── NotFoundError              no such file, vector store or chunk
├── ConflictError              the current state does not allow the operation
│   └── MissingVectorsError    … because vectors of a required generation are missing
├── UnreadableDocumentError    no text can be extracted from a file
├── ConfigError                serve_config.yaml or the catalog is wrong
│   └── ModelNotFoundError     … because it names a model that is not in the catalog
├── ModelLoadError             a model of the catalog does not load
├── UnequalVectorsError        an embedding fallback gives other vectors than the embedder
├── UnusableVectorError        an embedding model has no vector for a text
├── OverloadedError            a queue is full; retry later
├── RateLimitedError           a key or a tenant has used up a limit; retry later
├── StorageQuotaError          a tenant stores as much as it may
├── DeadlineExceededError      a stage did not answer within its budget
├── StageUnavailableError      no replica of a stage can answer
│   ├── DegradedError          … and the request takes no result without it
│   └── StageDownError         … nor could before this call, which is not the cause
│       ├── ModelUnavailableError  a model behind a URL does not answer as it should
│       ├── BreakerOpenError       it failed again and again, so it is not called for now
│       ├── BlobsUnavailableError  the storage of uploaded files cannot be reached
│       ├── DatabaseUnavailableError  the database cannot be reached or written
│       │   ├── DatabaseDamagedError  … since what it has stored is damaged
│       │   └── DatabaseBusyError     … by this call: a lock or other work is in the way
│       │       └── StatementTimeoutError  … it was too slow, and the database ended it
│       └── VectorDatabaseUnavailableError  the vector database does not answer
├── StorageFullError           no room for what is written; reads and deletes go on
└── InternalError              an unexpected failure; only the log has the details

`requests` has the caller's mistakes, `access` what a key may not do, `configuration` the operator's mistakes, `limits`
what is full or used up, `stages` stages without an answer, `model_failures` those of models, `storage` of databases.

Each class has a stable `code`. Arguments are positional and stored in `args`, so that an error survives pickling
between replicas. Only serve/api/errors.py chooses HTTP status codes.
"""
