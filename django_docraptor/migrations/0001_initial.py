"""All tables; and keys, accounts and IDs that are compared byte by byte on MariaDB and MySQL."""

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import django_docraptor.models.clock
import django_docraptor.models.columns
import django_docraptor.models.indexes
import django_docraptor.models.relations
import django_docraptor.storage

# What identifies a job; accounts, wherever they are named; what usage is counted by.
EXACT_COLUMNS = (
    ("django_docraptor_renderjob", "idempotency_key varchar(200) {} NULL"),
    ("django_docraptor_renderjob", "account varchar(64) {} NOT NULL"),
    ("django_docraptor_renderjob", "object_id varchar(64) {} NOT NULL"),
    ("django_docraptor_renderjob", "document varchar(200) {} NOT NULL"),
    ("django_docraptor_renderjob", "status_id varchar(200) {} NULL"),
    ("django_docraptor_account", "name varchar(64) {} NOT NULL"),
    ("django_docraptor_pause", "account varchar(64) {} NOT NULL"),
    ("django_docraptor_synchronouscall", "account varchar(64) {} NOT NULL"),
    ("django_docraptor_discardeddocument", "account varchar(64) {} NOT NULL"),
    ("django_docraptor_usageday", "account varchar(64) {} NOT NULL"),
    ("django_docraptor_usageday", "document varchar(200) {} NOT NULL"),
    ("django_docraptor_usageday", "owner varchar(255) {} NOT NULL"),
    ("django_docraptor_rendergroup", "idempotency_key varchar(200) {} NULL"),
)


def compare_keys_exactly(apps, schema_editor):
    """Tell keys apart that differ by case or accent, unlike default collations."""
    connection = schema_editor.connection
    if connection.vendor != "mysql":
        return
    if connection.mysql_is_mariadb:
        collation = "utf8mb4_nopad_bin"
    else:
        collation = "utf8mb4_0900_bin" if connection.mysql_version >= (8, 0, 17) else "utf8mb4_bin"
    exact = f"CHARACTER SET utf8mb4 COLLATE {collation}"
    for table, column in EXACT_COLUMNS:
        schema_editor.execute(f"ALTER TABLE {table} MODIFY {column.format(exact)}")


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("contenttypes", "0002_remove_content_type_name"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Account",
            fields=[
                (
                    "name",
                    models.CharField(
                        max_length=64, primary_key=True, serialize=False, verbose_name="name"
                    ),
                ),
                ("locked_at", models.DateTimeField(blank=True, null=True)),
                ("pause_reason", models.TextField(blank=True, verbose_name="reason")),
                (
                    "failures",
                    models.PositiveSmallIntegerField(
                        default=0, verbose_name="consecutive failures"
                    ),
                ),
                (
                    "circuit_open_until",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="submissions suspended until"
                    ),
                ),
                ("probe_tag", models.CharField(blank=True, max_length=64)),
                ("probed_at", models.DateTimeField(blank=True, null=True)),
                (
                    "key_hash",
                    models.CharField(
                        blank=True, db_index=True, max_length=16, verbose_name="API key"
                    ),
                ),
                (
                    "refused_at",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="API key last refused"
                    ),
                ),
            ],
            options={
                "verbose_name": "account",
                "verbose_name_plural": "accounts",
                "permissions": [
                    ("pause_account", "Can pause an account"),
                    ("resume_account", "Can resume an account"),
                ],
                "base_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="Heartbeat",
            fields=[
                (
                    "id",
                    models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False),
                ),
                ("wakeup_at", models.DateTimeField(blank=True, null=True)),
                (
                    "ticked_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="last tick"),
                ),
                (
                    "worked_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="worker last seen"),
                ),
                (
                    "called_back_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="last callback"),
                ),
                ("gave_up_at", models.DateTimeField(blank=True, null=True)),
                ("gave_up_on", models.TextField(blank=True)),
            ],
            options={
                "verbose_name": "engine status",
                "verbose_name_plural": "engine status",
                "base_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="RenderGroup",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(max_length=200, verbose_name="name")),
                (
                    "idempotency_key",
                    models.CharField(
                        blank=True,
                        max_length=200,
                        null=True,
                        unique=True,
                        verbose_name="idempotency key",
                    ),
                ),
                (
                    "merge",
                    models.CharField(
                        blank=True,
                        choices=[("zip", "ZIP"), ("pdf", "PDF")],
                        max_length=8,
                        verbose_name="type",
                    ),
                ),
                ("on_failure", models.CharField(default="no_file", max_length=8)),
                ("total", models.PositiveIntegerField(verbose_name="documents")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("working", "working"),
                            ("completed", "completed"),
                            ("partial", "partial"),
                            ("failed", "failed"),
                            ("cancelled", "cancelled"),
                        ],
                        default="working",
                        max_length=16,
                        verbose_name="state",
                    ),
                ),
                ("due_at", models.DateTimeField(blank=True, null=True, verbose_name="due at")),
                ("lease_token", models.CharField(blank=True, max_length=32)),
                ("lapsed_claims", models.PositiveSmallIntegerField(default=0)),
                (
                    "failures",
                    models.PositiveSmallIntegerField(
                        default=0, verbose_name="consecutive failures"
                    ),
                ),
                (
                    "failing_since",
                    models.DateTimeField(blank=True, null=True, verbose_name="failing since"),
                ),
                ("revision", models.PositiveIntegerField(default=1)),
                ("errors", models.TextField(blank=True, verbose_name="errors")),
                (
                    "storage",
                    models.CharField(blank=True, max_length=64, verbose_name="storage"),
                ),
                (
                    "file",
                    django_docraptor.storage.DocumentFileField(
                        blank=True,
                        max_length=255,
                        storage=django_docraptor.storage.get_document_storage,
                        upload_to="docraptor",
                        verbose_name="file",
                    ),
                ),
                ("reserved_name", models.CharField(blank=True, max_length=255)),
                (
                    "file_size",
                    models.PositiveBigIntegerField(blank=True, null=True, verbose_name="size"),
                ),
                (
                    "sha256",
                    models.CharField(blank=True, max_length=64, verbose_name="SHA-256"),
                ),
                (
                    "downloads",
                    models.PositiveIntegerField(default=0, verbose_name="downloads"),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django_docraptor.models.clock.Now(), verbose_name="created at"
                    ),
                ),
                (
                    "finished_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="finished at"),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django_docraptor.models.relations.set_null,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="owner",
                    ),
                ),
            ],
            options={
                "verbose_name": "group of documents",
                "verbose_name_plural": "groups of documents",
                "get_latest_by": "created_at",
                "base_manager_name": "objects",
                "indexes": [
                    django_docraptor.models.indexes.PartialIndex(
                        fields=["due_at"],
                        name="docraptor_group_due",
                        where=models.Q(("due_at__isnull", False)),
                    ),
                    models.Index(fields=["created_at"], name="docraptor_group_created"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "working"), _negated=True),
                            ("due_at__isnull", False),
                            _connector="OR",
                        ),
                        name="docraptor_group_working_is_due",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="RenderJob",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "account",
                    models.CharField(default="default", max_length=64, verbose_name="account"),
                ),
                ("document", models.CharField(blank=True, max_length=200, verbose_name="document")),
                ("name", models.CharField(max_length=200, verbose_name="name")),
                (
                    "again_of",
                    models.UUIDField(blank=True, null=True, verbose_name="generated again from"),
                ),
                (
                    "document_type",
                    models.CharField(
                        choices=[("pdf", "PDF"), ("xls", "XLS"), ("xlsx", "XLSX")],
                        max_length=8,
                        verbose_name="type",
                    ),
                ),
                ("test", models.BooleanField(default=True, verbose_name="test")),
                ("has_secrets", models.BooleanField(default=False)),
                ("priority", models.SmallIntegerField(default=0, verbose_name="priority")),
                ("object_id", models.CharField(blank=True, max_length=64)),
                (
                    "idempotency_key",
                    models.CharField(
                        blank=True, max_length=200, null=True, verbose_name="idempotency key"
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "pending"),
                            ("submitting", "submitting"),
                            ("unconfirmed", "unconfirmed"),
                            ("queued", "queued"),
                            ("working", "working"),
                            ("downloading", "downloading"),
                            ("completed", "completed"),
                            ("failed", "failed"),
                            ("cancelled", "cancelled"),
                        ],
                        max_length=16,
                        verbose_name="state",
                    ),
                ),
                ("moved_at", models.DateTimeField(blank=True, null=True)),
                ("due_at", models.DateTimeField(blank=True, null=True, verbose_name="due at")),
                (
                    "not_before",
                    models.DateTimeField(blank=True, null=True, verbose_name="not before"),
                ),
                ("lease_token", models.CharField(blank=True, max_length=32)),
                ("lapsed_claims", models.PositiveSmallIntegerField(default=0)),
                (
                    "deadline_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="deadline"),
                ),
                (
                    "failures",
                    models.PositiveSmallIntegerField(
                        default=0, verbose_name="consecutive failures"
                    ),
                ),
                (
                    "failing_since",
                    models.DateTimeField(blank=True, null=True, verbose_name="failing since"),
                ),
                ("refused_since", models.DateTimeField(blank=True, null=True)),
                ("held_at", models.DateTimeField(blank=True, null=True, verbose_name="held since")),
                (
                    "held_for",
                    models.CharField(
                        blank=True,
                        choices=[
                            (
                                "source",
                                "more documents of one object were sent than MAX_PER_SOURCE allows",
                            ),
                            ("budget", "a budget is used up"),
                            ("live", "ALLOW_LIVE refuses production documents"),
                        ],
                        max_length=16,
                        verbose_name="held because of",
                    ),
                ),
                ("revision", models.PositiveIntegerField(default=0)),
                ("attempt", models.PositiveSmallIntegerField(default=0, verbose_name="attempt")),
                ("sent_at", models.DateTimeField(blank=True, null=True, verbose_name="sent at")),
                ("request_hash", models.CharField(blank=True, max_length=64)),
                (
                    "status_id",
                    django_docraptor.models.columns.BlankAsNullField(
                        blank=True, max_length=200, null=True, verbose_name="status ID"
                    ),
                ),
                (
                    "callback_at",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="callback received at"
                    ),
                ),
                ("download_id", models.CharField(blank=True, max_length=200)),
                (
                    "download_attempts",
                    models.PositiveSmallIntegerField(default=0, verbose_name="download attempts"),
                ),
                (
                    "error_code",
                    models.CharField(blank=True, max_length=32, verbose_name="error code"),
                ),
                ("errors", models.TextField(blank=True, verbose_name="errors")),
                ("message", models.TextField(blank=True, verbose_name="message")),
                (
                    "number_of_pages",
                    models.PositiveIntegerField(
                        blank=True, null=True, verbose_name="number of pages"
                    ),
                ),
                (
                    "warnings",
                    models.PositiveIntegerField(blank=True, null=True, verbose_name="warnings"),
                ),
                ("generation_log", models.TextField(blank=True, verbose_name="generation log")),
                ("storage", models.CharField(blank=True, max_length=64, verbose_name="storage")),
                (
                    "file",
                    django_docraptor.storage.DocumentFileField(
                        blank=True,
                        max_length=255,
                        storage=django_docraptor.storage.get_document_storage,
                        upload_to="docraptor",
                        verbose_name="file",
                    ),
                ),
                ("reserved_name", models.CharField(blank=True, max_length=255)),
                (
                    "file_size",
                    models.PositiveBigIntegerField(blank=True, null=True, verbose_name="size"),
                ),
                ("sha256", models.CharField(blank=True, max_length=64, verbose_name="SHA-256")),
                (
                    "downloads",
                    models.PositiveIntegerField(default=0, verbose_name="downloads"),
                ),
                ("hosted", models.BooleanField(default=False, verbose_name="hosted")),
                (
                    "hosted_expires_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="public until"),
                ),
                ("public_url", models.TextField(blank=True, verbose_name="public URL")),
                (
                    "expired_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="expired at"),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django_docraptor.models.clock.Now(), verbose_name="created at"
                    ),
                ),
                (
                    "submitted_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="accepted at"),
                ),
                (
                    "rendered_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="rendered at"),
                ),
                (
                    "finished_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="finished at"),
                ),
                ("trace_parent", models.CharField(blank=True, max_length=55)),
                (
                    "erased_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="erased at"),
                ),
                (
                    "group",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="jobs",
                        to="django_docraptor.rendergroup",
                        verbose_name="group of documents",
                    ),
                ),
                ("group_position", models.PositiveIntegerField(blank=True, null=True)),
                (
                    "content_type",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django_docraptor.models.relations.set_null,
                        to="contenttypes.contenttype",
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django_docraptor.models.relations.set_null,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="owner",
                    ),
                ),
            ],
            options={
                "verbose_name": "render job",
                "verbose_name_plural": "render jobs",
                "permissions": [
                    ("retry_renderjob", "Can retry a render job"),
                    ("cancel_renderjob", "Can cancel a render job"),
                    ("expire_renderjob", "Can expire a hosted document"),
                    ("share_renderjob", "Can share a document by a link"),
                    ("preview_documents", "Can preview documents of sample objects"),
                ],
                "get_latest_by": "created_at",
                "base_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="KeyLock",
            fields=[
                ("key_hash", models.CharField(max_length=16, primary_key=True, serialize=False)),
                ("locked_at", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "API key",
                "base_manager_name": "objects",
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="SentWakeup",
            fields=[
                ("step", models.CharField(max_length=16, primary_key=True, serialize=False)),
                ("expires_at", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "sent wake-up",
                "verbose_name_plural": "sent wake-ups",
                "base_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="DiscardedDocument",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "discarded_at",
                    models.DateTimeField(db_default=django_docraptor.models.clock.Now()),
                ),
                ("due_at", models.DateTimeField(db_default=django_docraptor.models.clock.Now())),
                ("failures", models.PositiveSmallIntegerField(default=0)),
                ("subject", models.CharField(blank=True, max_length=32)),
                ("account", models.CharField(max_length=64)),
                ("download_id", models.CharField(blank=True, max_length=200)),
                ("status_id", models.CharField(blank=True, max_length=200)),
                ("expires_at", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "discarded hosted document",
                "verbose_name_plural": "discarded hosted documents",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [models.Index(fields=["due_at"], name="docraptor_document_due")],
            },
        ),
        migrations.CreateModel(
            name="DiscardedFile",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "discarded_at",
                    models.DateTimeField(db_default=django_docraptor.models.clock.Now()),
                ),
                ("due_at", models.DateTimeField(db_default=django_docraptor.models.clock.Now())),
                ("failures", models.PositiveSmallIntegerField(default=0)),
                ("subject", models.CharField(blank=True, max_length=32)),
                ("name", models.CharField(max_length=500)),
                ("storage", models.CharField(blank=True, max_length=200)),
                ("may_be_missing", models.BooleanField(default=False)),
            ],
            options={
                "verbose_name": "discarded file",
                "verbose_name_plural": "discarded files",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [models.Index(fields=["due_at"], name="docraptor_file_due")],
                "constraints": [
                    models.UniqueConstraint(fields=("name", "storage"), name="docraptor_file_name")
                ],
            },
        ),
        migrations.CreateModel(
            name="ErasedJob",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "discarded_at",
                    models.DateTimeField(db_default=django_docraptor.models.clock.Now()),
                ),
                ("due_at", models.DateTimeField(db_default=django_docraptor.models.clock.Now())),
                ("failures", models.PositiveSmallIntegerField(default=0)),
                ("subject", models.CharField(blank=True, max_length=32)),
                ("job_id", models.UUIDField(unique=True)),
            ],
            options={
                "verbose_name": "erased job",
                "verbose_name_plural": "erased jobs",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [models.Index(fields=["due_at"], name="docraptor_erased_due")],
            },
        ),
        migrations.CreateModel(
            name="Pause",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("account", models.CharField(max_length=64, verbose_name="account")),
                ("key_hash", models.CharField(blank=True, max_length=16)),
                ("creates_only", models.BooleanField(default=False)),
                ("is_replaced", models.BooleanField(default=False)),
                ("since", models.DateTimeField(verbose_name="since")),
                ("paused_until", models.DateTimeField(db_index=True, verbose_name="paused until")),
                ("reason", models.TextField(blank=True, verbose_name="reason")),
            ],
            options={
                "verbose_name": "pause",
                "verbose_name_plural": "pauses",
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("account", "key_hash"), name="docraptor_pause_key"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="RenderInput",
            fields=[
                (
                    "job",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="input",
                        serialize=False,
                        to="django_docraptor.renderjob",
                    ),
                ),
                ("content", models.TextField(blank=True)),
                ("url", models.TextField(blank=True)),
                ("options", models.JSONField(default=dict)),
                ("params", models.JSONField(default=dict)),
                ("language", models.CharField(blank=True, max_length=35)),
                ("time_zone", models.CharField(blank=True, max_length=64)),
                ("source_model", models.CharField(blank=True, max_length=255)),
                ("reuse", models.DurationField(blank=True, null=True)),
                ("preflight_digest", models.CharField(blank=True, max_length=32)),
                ("by_trigger", models.BooleanField(default=False)),
                ("recheck", models.JSONField(blank=True, null=True)),
                ("revision", models.PositiveIntegerField(default=0)),
            ],
            options={
                "verbose_name": "stored input",
                "verbose_name_plural": "stored inputs",
                "base_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="RenderEvent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("attempt", models.PositiveSmallIntegerField(default=0)),
                ("at", models.DateTimeField(db_default=django_docraptor.models.clock.Now())),
                ("kind", models.CharField(max_length=16)),
                ("from_state", models.CharField(blank=True, max_length=16)),
                ("to_state", models.CharField(max_length=16)),
                ("message", models.TextField(blank=True)),
                ("detail", models.JSONField(default=dict)),
                ("signal_due_at", models.DateTimeField(blank=True, null=True)),
                ("signal_lapses", models.PositiveSmallIntegerField(default=0)),
                (
                    "job",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="events",
                        to="django_docraptor.renderjob",
                    ),
                ),
            ],
            options={
                "verbose_name": "event",
                "verbose_name_plural": "events",
                "ordering": ["id"],
                "base_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="ShareLink",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django_docraptor.models.clock.Now(), verbose_name="created at"
                    ),
                ),
                ("expires_at", models.DateTimeField(verbose_name="expires at")),
                (
                    "revoked_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="revoked at"),
                ),
                (
                    "max_downloads",
                    models.PositiveIntegerField(
                        blank=True, null=True, verbose_name="maximum number of downloads"
                    ),
                ),
                ("downloads", models.PositiveIntegerField(default=0, verbose_name="downloads")),
                (
                    "last_used_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="last used at"),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django_docraptor.models.relations.set_null,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="created by",
                    ),
                ),
                (
                    "job",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="share_links",
                        to="django_docraptor.renderjob",
                    ),
                ),
            ],
            options={
                "verbose_name": "share link",
                "verbose_name_plural": "share links",
                "base_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="SynchronousCall",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("account", models.CharField(max_length=64, verbose_name="account")),
                ("ends_at", models.DateTimeField()),
            ],
            options={
                "verbose_name": "synchronous call",
                "verbose_name_plural": "synchronous calls",
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["account", "ends_at"], name="docraptor_sync_call")
                ],
            },
        ),
        migrations.CreateModel(
            name="UsageDay",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("day", models.DateField(verbose_name="day")),
                ("account", models.CharField(max_length=64, verbose_name="account")),
                (
                    "document",
                    models.CharField(blank=True, max_length=200, verbose_name="document"),
                ),
                ("owner", models.CharField(blank=True, max_length=255, verbose_name="owner")),
                ("test", models.BooleanField(verbose_name="test")),
                ("completed", models.BigIntegerField(default=0)),
                ("billed", models.BigIntegerField(default=0)),
                ("retries_billed", models.BigIntegerField(default=0)),
                ("failures", models.BigIntegerField(default=0)),
                ("reused", models.BigIntegerField(default=0)),
                ("pages", models.BigIntegerField(default=0)),
                ("file_bytes", models.BigIntegerField(default=0)),
            ],
            options={
                "verbose_name": "usage",
                "verbose_name_plural": "usage",
                "base_manager_name": "objects",
                "indexes": [models.Index(fields=["day"], name="docraptor_usage_day")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("owner", "day", "account", "document", "test"),
                        name="docraptor_usage_key",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="BudgetUse",
            fields=[
                ("key", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("kind", models.CharField(max_length=16)),
                ("name", models.CharField(max_length=255)),
                ("period", models.CharField(max_length=8)),
                ("begins_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField(db_index=True)),
                ("used", models.PositiveIntegerField(null=True)),
                ("hard", models.PositiveIntegerField(null=True)),
                ("soft", models.PositiveIntegerField(null=True)),
                ("hard_told_at", models.DateTimeField(null=True)),
                ("soft_told_at", models.DateTimeField(null=True)),
                ("locked_at", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "budget use",
                "verbose_name_plural": "budget uses",
                "base_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="UsageMark",
            fields=[
                (
                    "id",
                    models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False),
                ),
                ("event_id", models.BigIntegerField(default=0)),
                ("locked_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "verbose_name": "usage mark",
                "verbose_name_plural": "usage marks",
                "base_manager_name": "objects",
            },
        ),
        migrations.AddIndex(
            model_name="renderjob",
            index=django_docraptor.models.indexes.PartialIndex(
                fields=["state", "due_at"],
                name="docraptor_job_due",
                where=models.Q(("due_at__isnull", False)),
            ),
        ),
        migrations.AddIndex(
            model_name="renderjob",
            index=django_docraptor.models.indexes.PartialIndex(
                fields=["state", "-priority", "due_at"],
                name="docraptor_job_next",
                where=models.Q(("due_at__isnull", False)),
            ),
        ),
        migrations.AddIndex(
            model_name="renderjob",
            index=django_docraptor.models.indexes.PartialIndex(
                fields=["state", "account", "-priority", "due_at"],
                name="docraptor_job_account_next",
                where=models.Q(("due_at__isnull", False)),
            ),
        ),
        migrations.AddIndex(
            model_name="renderjob",
            index=django_docraptor.models.indexes.PartialIndex(
                fields=["state", "account", "due_at"],
                name="docraptor_job_account_due",
                where=models.Q(("due_at__isnull", False)),
            ),
        ),
        migrations.AddIndex(
            model_name="renderjob",
            index=django_docraptor.models.indexes.PartialIndex(
                fields=["failing_since"],
                name="docraptor_job_failing",
                where=models.Q(("failing_since__isnull", False)),
            ),
        ),
        migrations.AddIndex(
            model_name="renderjob",
            index=django_docraptor.models.indexes.PartialIndex(
                fields=["created_at"],
                name="docraptor_job_warned",
                where=models.Q(("warnings__gt", 0)),
            ),
        ),
        migrations.AddIndex(
            model_name="renderjob",
            index=models.Index(fields=["state", "created_at"], name="docraptor_job_state"),
        ),
        migrations.AddIndex(
            model_name="renderjob",
            index=django_docraptor.models.indexes.PartialIndex(
                fields=["error_code", "created_at"],
                name="docraptor_job_error",
                where=models.Q(("state", "failed")),
            ),
        ),
        migrations.AddIndex(
            model_name="renderjob",
            index=models.Index(fields=["created_at", "id", "test"], name="docraptor_job_created"),
        ),
        migrations.AddIndex(
            model_name="renderjob",
            index=models.Index(fields=["content_type", "object_id"], name="docraptor_job_source"),
        ),
        migrations.AddIndex(
            model_name="renderjob",
            index=models.Index(fields=["document", "finished_at"], name="docraptor_job_document"),
        ),
        migrations.AddIndex(
            model_name="renderjob",
            index=django_docraptor.models.indexes.PartialIndex(
                fields=["group", "state"],
                name="docraptor_job_group",
                where=models.Q(("group__isnull", False)),
            ),
        ),
        migrations.AddConstraint(
            model_name="renderjob",
            constraint=models.UniqueConstraint(
                fields=("idempotency_key", "account"),
                name="docraptor_job_key",
                opclasses=["varchar_pattern_ops", "varchar_ops"],
            ),
        ),
        migrations.AddConstraint(
            model_name="renderjob",
            constraint=models.UniqueConstraint(
                fields=("status_id",), name="docraptor_job_status_id"
            ),
        ),
        migrations.AddConstraint(
            model_name="renderjob",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("due_at__isnull", True),
                        ("state__in", ["cancelled", "completed", "failed"]),
                    ),
                    models.Q(
                        models.Q(
                            ("state__in", ["cancelled", "completed", "failed"]), _negated=True
                        ),
                        ("due_at__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="docraptor_job_final_iff_not_due",
            ),
        ),
        migrations.AddConstraint(
            model_name="renderjob",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("public_url", ""), models.Q(("file", ""), ("hosted", True)), _connector="OR"
                ),
                name="docraptor_job_public_is_hosted",
            ),
        ),
        migrations.AddIndex(
            model_name="renderevent",
            index=models.Index(fields=["signal_due_at"], name="docraptor_event_signal"),
        ),
        migrations.RunPython(compare_keys_exactly, migrations.RunPython.noop, atomic=False),
    ]
