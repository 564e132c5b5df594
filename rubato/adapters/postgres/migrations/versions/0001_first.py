"""The first schema: tenants, users, keys, jobs and their versions, schedules, runs, hints, decisions, sessions, quota."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE runs (
        scheduled_for TIMESTAMP WITH TIME ZONE NOT NULL,
        tenant_id TEXT COLLATE "C" NOT NULL,
        bucket SMALLINT NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        job_id TEXT COLLATE "C" NOT NULL,
        status TEXT NOT NULL,
        trigger TEXT NOT NULL,
        kind TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        job_version INTEGER NOT NULL,
        worker_id TEXT COLLATE "C",
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        started_at TIMESTAMP WITH TIME ZONE,
        finished_at TIMESTAMP WITH TIME ZONE,
        duration_ms BIGINT,
        headers_ms BIGINT,
        status_code INTEGER,
        error_message TEXT,
        response_excerpt TEXT,
        response_bytes BIGINT,
        truncated BOOLEAN NOT NULL,
        retry_after TEXT,
        skip_reason TEXT,
        skipped_count INTEGER,
        skipped_until TIMESTAMP WITH TIME ZONE,
        skipped_more BOOLEAN NOT NULL,
        discarded BOOLEAN NOT NULL,
        decision JSONB,
        session_id TEXT COLLATE "C",
        test_token BIGINT,
        test_lease_until TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_runs PRIMARY KEY (scheduled_for, tenant_id, bucket, id),
        CONSTRAINT ck_runs_status CHECK (status IN ('claimed', 'running', 'succeeded', 'failed', 'skipped', 'unknown', 'canceled')),
        CONSTRAINT ck_runs_trigger CHECK (trigger IN ('scheduled', 'manual', 'catchup', 'test')),
        CONSTRAINT ck_runs_kind CHECK (kind IN ('baseline', 'hinted', 'retry', 'probe')),
        CONSTRAINT ck_runs_skip_has_reason CHECK ((status = 'skipped') = (skip_reason IS NOT NULL))
    )
     PARTITION BY RANGE (scheduled_for)
    """,
    """
    CREATE INDEX ix_runs_job ON runs (tenant_id, bucket, job_id, id)
    """,
    """
    CREATE INDEX ix_runs_tenant ON runs (tenant_id, id)
    """,
    """
    CREATE INDEX ix_runs_tests ON runs (scheduled_for) WHERE trigger = 'test' AND status IN ('claimed', 'running')
    """,
    """
    CREATE UNIQUE INDEX uq_runs_slot ON runs (scheduled_for, tenant_id, bucket, job_id, trigger)
    """,
    """
    CREATE TABLE runs_default PARTITION OF runs DEFAULT
    """,
    """
    CREATE TABLE tenants (
        id TEXT COLLATE "C" NOT NULL,
        name TEXT NOT NULL,
        min_interval_ms BIGINT,
        hint_lifetime_ms BIGINT DEFAULT 86400000 NOT NULL,
        accelerated_runs_per_day INTEGER DEFAULT 2880 NOT NULL,
        pause_share DOUBLE PRECISION DEFAULT 0.25 NOT NULL,
        tokens_per_day BIGINT DEFAULT 500000 NOT NULL,
        tokens_per_month BIGINT DEFAULT 10000000 NOT NULL,
        sessions_per_day BIGINT DEFAULT 20000 NOT NULL,
        sessions_per_job_hour BIGINT DEFAULT 720 NOT NULL,
        suspended_reason TEXT,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT pk_tenants PRIMARY KEY (id)
    )
    """,
    """
    CREATE TABLE jobs (
        tenant_id TEXT COLLATE "C" NOT NULL,
        bucket SMALLINT NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        key TEXT,
        name TEXT NOT NULL,
        group_name TEXT,
        labels JSONB NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
        deleted_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_jobs PRIMARY KEY (tenant_id, bucket, id),
        CONSTRAINT fk_jobs_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenants (id)
    )
    """,
    """
    CREATE INDEX ix_jobs_group ON jobs (tenant_id, group_name) WHERE deleted_at IS NULL
    """,
    """
    CREATE INDEX ix_jobs_labels ON jobs USING gin (labels)
    """,
    """
    CREATE INDEX ix_jobs_newest ON jobs (tenant_id, id) WHERE deleted_at IS NULL
    """,
    """
    CREATE UNIQUE INDEX uq_jobs_key ON jobs (tenant_id, key) WHERE deleted_at IS NULL AND key IS NOT NULL
    """,
    """
    CREATE TABLE quota_reservations (
        tenant_id TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        job_id TEXT COLLATE "C" NOT NULL,
        tokens BIGINT NOT NULL,
        opened_day TIMESTAMP WITH TIME ZONE NOT NULL,
        opened_month TIMESTAMP WITH TIME ZONE NOT NULL,
        opened_hour TIMESTAMP WITH TIME ZONE NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_quota_reservations PRIMARY KEY (tenant_id, id),
        CONSTRAINT fk_quota_reservations_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenants (id)
    )
    """,
    """
    CREATE TABLE quota_windows (
        tenant_id TEXT COLLATE "C" NOT NULL,
        name TEXT NOT NULL,
        scope TEXT COLLATE "C" NOT NULL,
        opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
        closes_at TIMESTAMP WITH TIME ZONE NOT NULL,
        used BIGINT DEFAULT 0 NOT NULL,
        reserved BIGINT DEFAULT 0 NOT NULL,
        CONSTRAINT pk_quota_windows PRIMARY KEY (tenant_id, name, scope, opened_at),
        CONSTRAINT fk_quota_windows_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenants (id)
    )
    """,
    """
    CREATE TABLE users (
        tenant_id TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        name TEXT NOT NULL,
        role TEXT NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT pk_users PRIMARY KEY (tenant_id, id),
        CONSTRAINT fk_users_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenants (id),
        CONSTRAINT ck_users_role CHECK (role IN ('admin', 'member'))
    )
    """,
    """
    CREATE TABLE api_keys (
        tenant_id TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        user_id TEXT COLLATE "C" NOT NULL,
        hash BYTEA NOT NULL,
        name TEXT NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE,
        revoked_at TIMESTAMP WITH TIME ZONE,
        last_used_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_api_keys PRIMARY KEY (tenant_id, id),
        CONSTRAINT fk_api_keys_tenant_id_user_id FOREIGN KEY(tenant_id, user_id) REFERENCES users (tenant_id, id),
        CONSTRAINT uq_api_keys_hash UNIQUE (hash)
    )
    """,
    """
    CREATE TABLE decisions (
        tenant_id TEXT COLLATE "C" NOT NULL,
        bucket SMALLINT NOT NULL,
        job_id TEXT COLLATE "C" NOT NULL,
        decided_at TIMESTAMP WITH TIME ZONE NOT NULL,
        cause TEXT NOT NULL,
        decision JSONB NOT NULL,
        CONSTRAINT pk_decisions PRIMARY KEY (tenant_id, bucket, job_id, decided_at, cause),
        CONSTRAINT fk_decisions_tenant_id_bucket_job_id FOREIGN KEY(tenant_id, bucket, job_id) REFERENCES jobs (tenant_id, bucket, id)
    )
    """,
    """
    CREATE TABLE hints (
        tenant_id TEXT COLLATE "C" NOT NULL,
        bucket SMALLINT NOT NULL,
        job_id TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        kind TEXT NOT NULL,
        author TEXT NOT NULL,
        state TEXT NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE,
        interval_ms BIGINT,
        at TIMESTAMP WITH TIME ZONE,
        until TIMESTAMP WITH TIME ZONE,
        reason TEXT,
        ended_at TIMESTAMP WITH TIME ZONE,
        end_reason TEXT,
        session_id TEXT COLLATE "C",
        rule_id TEXT COLLATE "C",
        proposed TIMESTAMP WITH TIME ZONE,
        applied TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_hints PRIMARY KEY (tenant_id, bucket, job_id, id),
        CONSTRAINT fk_hints_tenant_id_bucket_job_id FOREIGN KEY(tenant_id, bucket, job_id) REFERENCES jobs (tenant_id, bucket, id),
        CONSTRAINT ck_hints_kind CHECK (kind IN ('pause', 'next_time', 'interval')),
        CONSTRAINT ck_hints_author CHECK (author IN ('user', 'rule', 'planner')),
        CONSTRAINT ck_hints_state CHECK (state IN ('active', 'expired', 'superseded', 'consumed', 'cleared', 'rejected', 'shadow')),
        CONSTRAINT ck_hints_interval_has_length CHECK ((kind = 'interval') = (interval_ms IS NOT NULL)),
        CONSTRAINT ck_hints_next_time_has_instant CHECK ((kind = 'next_time') = ("at" IS NOT NULL)),
        CONSTRAINT ck_hints_only_people_pin CHECK (author = 'user' OR expires_at IS NOT NULL),
        CONSTRAINT ck_hints_only_people_pause_for_ever CHECK (author = 'user' OR kind <> 'pause' OR until IS NOT NULL)
    )
    """,
    """
    CREATE INDEX ix_hints_active ON hints (tenant_id, bucket, job_id) WHERE state = 'active'
    """,
    """
    CREATE INDEX ix_hints_pauses ON hints (tenant_id, bucket, job_id, ended_at) WHERE kind = 'pause'
    """,
    """
    CREATE INDEX ix_hints_tenant ON hints (tenant_id, id)
    """,
    """
    CREATE TABLE job_versions (
        tenant_id TEXT COLLATE "C" NOT NULL,
        bucket SMALLINT NOT NULL,
        job_id TEXT COLLATE "C" NOT NULL,
        version INTEGER NOT NULL,
        name TEXT NOT NULL,
        key TEXT,
        description TEXT,
        group_name TEXT,
        labels JSONB NOT NULL,
        metadata JSONB NOT NULL,
        url TEXT NOT NULL,
        method TEXT NOT NULL,
        headers JSONB NOT NULL,
        body JSONB,
        timeout_ms BIGINT NOT NULL,
        baseline_kind TEXT NOT NULL,
        cron_expression TEXT,
        timezone TEXT,
        interval_ms BIGINT,
        run_at TIMESTAMP WITH TIME ZONE,
        min_interval_ms BIGINT,
        max_interval_ms BIGINT,
        start_at TIMESTAMP WITH TIME ZONE,
        end_at TIMESTAMP WITH TIME ZONE,
        max_runs INTEGER,
        splay BOOLEAN NOT NULL,
        retry_after_failure_ms BIGINT,
        catchup TEXT NOT NULL,
        delivery TEXT NOT NULL,
        success JSONB,
        may_tighten BOOLEAN NOT NULL,
        may_relax BOOLEAN NOT NULL,
        may_pause BOOLEAN NOT NULL,
        planner TEXT NOT NULL,
        store_responses BOOLEAN NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT pk_job_versions PRIMARY KEY (tenant_id, bucket, job_id, version),
        CONSTRAINT fk_job_versions_tenant_id_bucket_job_id FOREIGN KEY(tenant_id, bucket, job_id) REFERENCES jobs (tenant_id, bucket, id),
        CONSTRAINT ck_job_versions_baseline_kind CHECK (baseline_kind IN ('cron', 'interval', 'once')),
        CONSTRAINT ck_job_versions_cron_has_expression CHECK ((baseline_kind = 'cron') = (cron_expression IS NOT NULL AND timezone IS NOT NULL)),
        CONSTRAINT ck_job_versions_interval_has_length CHECK ((baseline_kind = 'interval') = (interval_ms IS NOT NULL)),
        CONSTRAINT ck_job_versions_interval_is_positive CHECK (interval_ms > 0),
        CONSTRAINT ck_job_versions_once_has_run_at CHECK ((baseline_kind = 'once') = (run_at IS NOT NULL)),
        CONSTRAINT ck_job_versions_bounds_in_order CHECK (min_interval_ms <= max_interval_ms),
        CONSTRAINT ck_job_versions_catchup CHECK (catchup IN ('skip', 'latest')),
        CONSTRAINT ck_job_versions_delivery CHECK (delivery IN ('at_least_once', 'at_most_once')),
        CONSTRAINT ck_job_versions_planner CHECK (planner IN ('off', 'shadow', 'on'))
    )
    """,
    """
    CREATE TABLE schedules (
        tenant_id TEXT COLLATE "C" NOT NULL,
        bucket SMALLINT NOT NULL,
        job_id TEXT COLLATE "C" NOT NULL,
        version INTEGER NOT NULL,
        ready_at TIMESTAMP WITH TIME ZONE,
        status TEXT NOT NULL,
        token BIGINT NOT NULL,
        slot_at TIMESTAMP WITH TIME ZONE,
        slot_source TEXT,
        slot_kind TEXT,
        slot_hint_id TEXT COLLATE "C",
        slot_handles_through TIMESTAMP WITH TIME ZONE,
        slot_accelerated BOOLEAN NOT NULL,
        lease_worker TEXT COLLATE "C",
        lease_until TIMESTAMP WITH TIME ZONE,
        lease_run_id TEXT COLLATE "C",
        manual_run_id TEXT COLLATE "C",
        manual_at TIMESTAMP WITH TIME ZONE,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        grid_epoch TIMESTAMP WITH TIME ZONE NOT NULL,
        handled_through TIMESTAMP WITH TIME ZONE,
        last_slot_at TIMESTAMP WITH TIME ZONE,
        last_start_at TIMESTAMP WITH TIME ZONE,
        edited_at TIMESTAMP WITH TIME ZONE,
        resumed_at TIMESTAMP WITH TIME ZONE,
        retry_at TIMESTAMP WITH TIME ZONE,
        failures INTEGER NOT NULL,
        counted_runs BIGINT NOT NULL,
        accelerated_on DATE,
        accelerated_runs INTEGER NOT NULL,
        paused_until TIMESTAMP WITH TIME ZONE,
        pause_reason TEXT,
        paused_by TEXT,
        parked_until TIMESTAMP WITH TIME ZONE,
        parked_reason TEXT,
        plan_seq BIGINT NOT NULL,
        plan_done_seq BIGINT NOT NULL,
        plan_token BIGINT NOT NULL,
        plan_ready_at TIMESTAMP WITH TIME ZONE,
        plan_last_run_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_schedules PRIMARY KEY (tenant_id, bucket, job_id),
        CONSTRAINT fk_schedules_tenant_id_bucket_job_id FOREIGN KEY(tenant_id, bucket, job_id) REFERENCES jobs (tenant_id, bucket, id),
        CONSTRAINT ck_schedules_status CHECK (status IN ('active', 'paused', 'parked', 'retired')),
        CONSTRAINT ck_schedules_slot_source CHECK (slot_source IN ('baseline_cron', 'baseline_interval', 'baseline_once', 'backoff', 'retry', 'probe', 'hint_interval', 'hint_next_time', 'paused_user', 'paused_rule', 'paused_planner', 'suspended', 'parked', 'retired')),
        CONSTRAINT ck_schedules_slot_kind CHECK (slot_kind IN ('baseline', 'hinted', 'retry', 'probe')),
        CONSTRAINT ck_schedules_slot_is_whole CHECK ((slot_at IS NULL) = (slot_source IS NULL)),
        CONSTRAINT ck_schedules_lease_is_whole CHECK ((lease_until IS NULL) = (lease_worker IS NULL)),
        CONSTRAINT ck_schedules_retired_has_no_slot CHECK (status <> 'retired' OR slot_at IS NULL OR lease_until IS NOT NULL)
    )
     WITH (fillfactor = 70)
    """,
    """
    CREATE INDEX ix_schedules_bucket_ready ON schedules (bucket, ready_at) WHERE ready_at IS NOT NULL
    """,
    """
    CREATE INDEX ix_schedules_plan_ready ON schedules (plan_ready_at) WHERE plan_ready_at IS NOT NULL
    """,
    """
    CREATE INDEX ix_schedules_ready ON schedules (ready_at) WHERE ready_at IS NOT NULL
    """,
    """
    CREATE INDEX ix_schedules_tenant_ready ON schedules (tenant_id, ready_at) WHERE ready_at IS NOT NULL
    """,
    """
    CREATE TABLE sessions (
        tenant_id TEXT COLLATE "C" NOT NULL,
        bucket SMALLINT NOT NULL,
        job_id TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        job_version INTEGER NOT NULL,
        run_id TEXT COLLATE "C",
        started_at TIMESTAMP WITH TIME ZONE NOT NULL,
        finished_at TIMESTAMP WITH TIME ZONE NOT NULL,
        outcome TEXT NOT NULL,
        planner TEXT NOT NULL,
        model TEXT NOT NULL,
        input_summary TEXT NOT NULL,
        calls JSONB NOT NULL,
        requests INTEGER NOT NULL,
        input_tokens BIGINT NOT NULL,
        output_tokens BIGINT NOT NULL,
        estimated BOOLEAN NOT NULL,
        reasoning TEXT,
        confidence DOUBLE PRECISION,
        next_analysis_ms BIGINT,
        messages TEXT,
        prompt_hash TEXT,
        error TEXT,
        hint_ids JSONB NOT NULL,
        decision JSONB,
        CONSTRAINT pk_sessions PRIMARY KEY (tenant_id, bucket, job_id, id),
        CONSTRAINT fk_sessions_tenant_id_bucket_job_id FOREIGN KEY(tenant_id, bucket, job_id) REFERENCES jobs (tenant_id, bucket, id),
        CONSTRAINT ck_sessions_outcome CHECK (outcome IN ('completed', 'denied', 'timed_out', 'limited', 'failed', 'stale'))
    )
    """,
    """
    CREATE INDEX ix_sessions_tenant ON sessions (tenant_id, id)
    """,
)


def upgrade() -> None:
    """Build everything."""
    for statement in STATEMENTS:
        op.execute(statement)
