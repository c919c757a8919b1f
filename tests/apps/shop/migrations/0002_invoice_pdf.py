from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="invoice",
            name="pdf",
            field=models.FileField(blank=True, upload_to="invoices"),
        ),
    ]
